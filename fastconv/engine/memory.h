/* The memory of a call. A large block comes from the system in pages as large as there are: a step goes through all of
 * it, and small pages would cost more time than its arithmetic. */
#ifndef FASTCONV_MEMORY_H
#define FASTCONV_MEMORY_H

#include <stddef.h>
#include <stdlib.h>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#define FC_LARGE ((size_t)4 << 20) /* bytes */

/* `size` bytes, zero if `zero` is set; NULL where there are none. */
static inline void *fc_allocate(size_t size, int zero)
{
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (size >= FC_LARGE) {
        void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
            return NULL;
        madvise(memory, size, MADV_HUGEPAGE); /* where that fails, small pages do */
        return memory;
    }
#endif
    return zero ? calloc(size, 1) : malloc(size);
}

/* Give back what fc_allocate gave for `size`. */
static inline void fc_release(void *memory, size_t size)
{
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (size >= FC_LARGE) {
        munmap(memory, size);
        return;
    }
#endif
    (void)size;
    free(memory);
}

#endif
