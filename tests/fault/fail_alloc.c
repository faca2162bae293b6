/*
 * malloc() and its kin in front of the C library's, which has them under other names as well. They
 * take no lock and call nothing, so they may run before anything else does.
 */
#include "fail_alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *block);

static struct alloc_plan own_plan;
struct alloc_plan *alloc_plan = &own_plan;

__attribute__((constructor)) static void map_plan(void)
{
	const char *path = getenv("ORDERHOOK_ALLOC_PLAN");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *map;

	if (fd < 0)
		return;
	map = mmap(NULL, sizeof(*alloc_plan), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (map != MAP_FAILED)
		alloc_plan = map;
}

static bool must_fail(void)
{
	int64_t n = atomic_fetch_add(&alloc_plan->seen, 1) + 1;
	int64_t at = atomic_load(&alloc_plan->fail_at);

	if (!at || n < at || (n > at && !atomic_load(&alloc_plan->onwards)))
		return false;
	atomic_fetch_add(&alloc_plan->failed, 1);
	errno = ENOMEM;
	return true;
}

static void *count(void *block)
{
	if (block)
		atomic_fetch_add(&alloc_plan->live, 1);
	return block;
}

void *malloc(size_t size)
{
	return must_fail() ? NULL : count(__libc_malloc(size));
}

void *calloc(size_t n, size_t size)
{
	return must_fail() ? NULL : count(__libc_calloc(n, size));
}

void *realloc(void *block, size_t size)
{
	void *moved;

	if (must_fail())
		return NULL;
	moved = __libc_realloc(block, size);
	if (!block)
		count(moved);
	else if (size == 0)
		atomic_fetch_sub(&alloc_plan->live, 1);
	return moved;
}

void *reallocarray(void *block, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(block, bytes);
}

void *memalign(size_t alignment, size_t size);
void *memalign(size_t alignment, size_t size)
{
	return must_fail() ? NULL : count(__libc_memalign(alignment, size));
}

void *aligned_alloc(size_t alignment, size_t size)
{
	return memalign(alignment, size);
}

int posix_memalign(void **ret, size_t alignment, size_t size)
{
	void *block = memalign(alignment, size);

	if (!block)
		return ENOMEM;
	*ret = block;
	return 0;
}

void free(void *block)
{
	if (block)
		atomic_fetch_sub(&alloc_plan->live, 1);
	__libc_free(block);
}
