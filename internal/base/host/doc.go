// Package host reports what the machine and its control group give this process, and what the process uses: cores,
// memory, open files.
//
// host.go has what a process uses, measured by host_linux.go, or by host_other.go if there is no /proc: start there.
// cgroup.go reads the limits of control groups, versions 1 and 2. budget.go keeps a process to its cores, as a state
// machine without a clock. datadir.go names the user's data directory.
package host
