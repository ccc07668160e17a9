package loadgen

import "time"

// lateRead is how long bytes wait for their reader before their times are in doubt: where several chunks are read at
// once after a shorter wait, they came together.
const lateRead = time.Millisecond

// joins finds the chunks of an answer that were read together and had not come together. The kernel tells the time of
// the last packet of a read alone, so a reader that was away for long, and came back just behind a packet, looks like
// one in time. It shows by what it reads: several chunks, in several packets, since a read that is longer ago, where
// the answer's other chunks came one by one.
type joins struct {
	cn              *conn
	read            int  // in which the last chunk came
	blurred         bool // several came in it, at different times
	several         bool // came in it
	singles, groups int  // reads with one chunk, and with more
	packets, reads  int  // at the last look
	known           bool
}

func newJoins(cn *conn) *joins {
	j := &joins{cn: cn, reads: cn.reads}
	if cn.in != nil {
		j.packets, j.known = cn.in.packets()
	}
	return j
}

// chunk takes note of a chunk, and says whether its time is in doubt: the one before it came in the same read.
func (j *joins) chunk() (doubtful bool) {
	cn := j.cn
	if cn.in == nil {
		return false
	}
	if cn.reads != j.read {
		j.read, j.several = cn.reads, false
		j.singles++
		return false
	}
	if !j.several {
		j.several = true
		j.singles--
		j.groups++
		j.blurred = cn.in.late() > lateRead || j.apart()
	}
	return j.blurred
}

// apart says that what was read came in several packets over more than a moment.
func (j *joins) apart() bool {
	if !j.known || j.cn.at.Sub(j.cn.last) <= lateRead || j.singles <= j.groups {
		return false
	}
	packets, ok := j.cn.in.packets()
	others := j.cn.reads - j.reads - 1 // reads since the last look, of a packet each at least
	here := packets - j.packets - others
	j.packets, j.reads = packets, j.cn.reads
	return ok && here > 1
}
