/*
 * Preloaded into a program, it counts its allocations in the file that COUNT_ALLOC_FILE names, as
 * one 64-bit number in the machine's order, so that a test can read it while the program runs.
 * Freeing is not counted: what is allocated is freed, or another test finds it.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* What the C library's own names are for when somebody stands in front of them. */
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t n, size_t bytes);
void *__libc_realloc(void *old, size_t bytes);

static _Atomic uint64_t not_mapped;
static _Atomic(_Atomic uint64_t *) counter = &not_mapped;

static void count(void)
{
	atomic_fetch_add_explicit(atomic_load_explicit(&counter, memory_order_relaxed), 1,
				  memory_order_relaxed);
}

void *malloc(size_t bytes)
{
	count();
	return __libc_malloc(bytes);
}

void *calloc(size_t n, size_t bytes)
{
	count();
	return __libc_calloc(n, bytes);
}

void *realloc(void *old, size_t bytes)
{
	count();
	return __libc_realloc(old, bytes);
}

__attribute__((constructor)) static void map_counter(void)
{
	const char *path = getenv("COUNT_ALLOC_FILE");
	int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
	void *mapped;

	if (fd < 0)
		return;
	if (ftruncate(fd, sizeof(uint64_t)) == 0) {
		mapped = mmap(NULL, sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (mapped != MAP_FAILED)
			atomic_store(&counter, mapped);
	}
	close(fd);
}
