/* A descriptor and no handler: no global, and nothing runs at an unexpected moment. */
#include "interrupt_private.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include "orderhook/err.h"

int interrupt_begin(struct interrupt *ret)
{
	struct interrupt interrupt;
	sigset_t ours;

	sigemptyset(&ours);
	sigaddset(&ours, SIGINT);
	sigaddset(&ours, SIGTERM);
	sigaddset(&ours, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &ours, &interrupt.before))
		return -ERR_SYSTEM;
	interrupt.fd = signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
	if (interrupt.fd < 0) {
		sigprocmask(SIG_SETMASK, &interrupt.before, NULL);
		return -ERR_SYSTEM;
	}
	*ret = interrupt;
	return 0;
}

int interrupt_take(const struct interrupt *interrupt)
{
	struct signalfd_siginfo info;

	return read(interrupt->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)
		       ? (int)info.ssi_signo
		       : 0;
}

void interrupt_end(struct interrupt *interrupt)
{
	/* One that is still pending would kill us as soon as the mask is back. */
	while (interrupt_take(interrupt)) {
	}
	close(interrupt->fd);
	interrupt->fd = -1;
	sigprocmask(SIG_SETMASK, &interrupt->before, NULL);
}
