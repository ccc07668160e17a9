package route

// budget bounds how many requests are tried again, so that a fleet that is overloaded is not asked twice for
// everything. Each request saves up a share of a retry.
type budget struct {
	share float64 // of the requests; 0: no retries
	saved float64 // retries
}

// leastSaved is how many retries a budget can hold at least, and what it begins with. It holds as many as there are
// requests under way where these are more: a replica that dies fails no more than that at once.
const leastSaved = 100

func newBudget(share float64) budget { return budget{share: share, saved: leastSaved} }

// request saves up for a new request.
func (b *budget) request(outstanding int) {
	b.saved = min(b.saved+b.share, max(leastSaved, float64(outstanding)))
}

// retry takes one retry, if there is one.
func (b *budget) retry() bool {
	if b.share <= 0 || b.saved < 1 {
		return false
	}
	b.saved--
	return true
}
