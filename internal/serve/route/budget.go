package route

// budget bounds how many requests are tried again, so that an overloaded group of replicas does not get every request
// twice. Each request adds a share of a retry.
type budget struct {
	share float64 // retries per request; 0: no retries
	saved float64 // retries that may be made now
}

// leastSaved is the number of retries that a budget begins with and can always hold. If more requests are under way,
// it can hold as many as these: a replica that dies fails no more than that at once.
const leastSaved = 100

func newBudget(share float64) budget { return budget{share: share, saved: leastSaved} }

// request adds a new request's share of a retry.
func (b *budget) request(outstanding int) {
	b.saved = min(b.saved+b.share, max(leastSaved, float64(outstanding)))
}

// retry takes one retry if there is one.
func (b *budget) retry() bool {
	if b.share <= 0 || b.saved < 1 {
		return false
	}
	b.saved--
	return true
}
