package route

import "time"

// split gives canaries, which are replicas with a fixed share of their models' requests, their requests.
type split struct {
	credit map[*Replica]float64 // how many requests a canary is still owed
}

// pick returns the canary that gets a request, or nil if none does. If draw is not 0, it alone decides, so that
// requests with the same draw always go to the same version. If it is 0, the shares decide, and are kept exactly to
// one request. A canary that may not be used gets nothing, and is owed nothing later. One in its slow start gets a
// part of its share.
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
