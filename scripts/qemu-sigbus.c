// Why scripts/arm64.sh leaves out TestCutFiles and TestLaterCut. Go's runtime on arm64 takes the address of a fault
// from the signal's context (runtime/signal_linux_arm64.go), where Linux puts it for SIGBUS as for SIGSEGV. qemu's user
// mode fills it in for SIGSEGV only, so that a Go program there gets a nil dereference in place of the fault of a file
// that was cut.
//
//	aarch64-linux-gnu-gcc -static -o sigbus scripts/qemu-sigbus.c && qemu-aarch64 ./sigbus; qemu-aarch64 ./sigbus x
//
// qemu 7.2.22 says "signal 7: si_addr 0x5500813170, fault_address 0" and, for memory that may not be read, "signal 11:
// si_addr 0x5500813170, fault_address 0x5500813170".
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

static void caught(int signal, siginfo_t *info, void *context) {
	unsigned long long at = ((ucontext_t *)context)->uc_mcontext.fault_address;
	printf("signal %d: si_addr %p, fault_address %#llx\n", signal, info->si_addr, at);
	fflush(stdout);
	_exit(0);
}

int main(int argc, char **argv) {
	char name[] = "/tmp/cutXXXXXX";
	int file = mkstemp(name);
	unlink(name);
	ftruncate(file, 1 << 20);
	char *mapped = mmap(0, 1 << 20, argc > 1 ? PROT_NONE : PROT_READ, MAP_SHARED, file, 0);
	if (argc == 1)
		ftruncate(file, 0);
	struct sigaction action = {0};
	action.sa_sigaction = caught;
	action.sa_flags = SA_SIGINFO;
	sigaction(SIGBUS, &action, 0);
	sigaction(SIGSEGV, &action, 0);
	return mapped[70000];
}
