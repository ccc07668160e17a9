package loadgen

import "time"

// lateRead is how long bytes must have waited to be read before their times are in doubt. Several chunks that are read
// at once after a shorter wait arrived together.
const lateRead = time.Millisecond

// joins finds the chunks of an answer that were read together but did not arrive together. The kernel only reports the
// time of the last packet of a read. So a reader that is late, but reads just after a packet arrived, seems to be in
// time. It is recognised by what it reads: several chunks in several packets, some time after its last read, while the
// answer's other chunks came one by one.
type joins struct {
	cn              *conn
	read            int  // number of the read with the last chunk
	blurred         bool // that read had several chunks, which arrived at different times
	several         bool // that read had several chunks
	singles, groups int  // numbers of reads with one chunk, and with more
	packets, reads  int  // counts when they were last compared
	known           bool
}

func newJoins(cn *conn) *joins {
	j := &joins{cn: cn, reads: cn.reads}
	if cn.in != nil {
		j.packets, j.known = cn.in.packets()
	}
	return j
}

// chunk counts a chunk, and says whether the time of the one before it in the same read is in doubt.
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

// apart says whether the chunks of a read came in several packets at different times.
func (j *joins) apart() bool {
	if !j.known || j.cn.at.Sub(j.cn.last) <= lateRead || j.singles <= j.groups {
		return false
	}
	packets, ok := j.cn.in.packets()
	others := j.cn.reads - j.reads - 1 // reads since the last comparison, each of at least one packet
	here := packets - j.packets - others
	j.packets, j.reads = packets, j.cn.reads
	return ok && here > 1
}
