package route

import "time"

// split gives canaries, which are the replicas with a fixed share of their models' requests, what is theirs.
type split struct {
	credit map[*Replica]float64 // what a canary has to get, in requests
}

// pick gives the canary for a request, or nil if it is none's. draw decides, so that what has one draw always goes to
// one version; 0 leaves the decision to the shares alone, which are then exact to one request. A canary that may not
// be used gets nothing, and has no claim later; one that starts has a part of its share.
func (s *split) pick(now time.Time, list []*Replica, draw uint64, slow time.Duration) *Replica {
	if draw != 0 {
		u := float64(mix(draw)>>11) / (1 << 53)
		for _, r := range list {
			if u -= r.member.Share; u < 0 && r.member.Share > 0 {
				if u+r.member.Share*r.ramp(now, slow) > 0 && r.usable(now) {
					return r
				}
				return nil
			}
		}
		return nil
	}
	var best *Replica
	for _, r := range list {
		if r.member.Share <= 0 || !r.usable(now) {
			continue
		}
		if s.credit == nil {
			s.credit = map[*Replica]float64{}
		}
		s.credit[r] += r.member.Share * r.ramp(now, slow)
		if s.credit[r] > 1-1e-9 && (best == nil || s.credit[r] > s.credit[best]) {
			best = r
		}
	}
	if best != nil {
		s.credit[best]--
	}
	return best
}
