// Package tiertest runs all tests of a package once on each kernel tier of the machine, inside the test binary. No
// environment variable chooses the tier: the go command would not see it and answer for every tier from its cache.
// tiertest.go is all of it; a package uses it so:
//
//	func TestMain(m *testing.M) { leak.Main(tiertest.Every(m, kernel.Tiers(), kernel.ForceTier)) }
//	func TestTier(t *testing.T) { tiertest.Ran(t, kernel.Tier()) }
package tiertest
