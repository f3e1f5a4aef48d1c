/* The threads of one parallel region: a barrier that gives its core away, and a counter that deals out work.
 *
 * OpenMP's own barriers spin for milliseconds.  Where another thread of the team waits for the same core, that is how
 * long it waits; here a thread spins for some microseconds and then offers its core at each turn.
 */
#ifndef FASTCONV_TEAM_H
#define FASTCONV_TEAM_H

#ifdef _OPENMP
#include <omp.h>
#include <sched.h>
#else
static inline int omp_get_num_threads(void) { return 1; }
static inline int sched_yield(void) { return 0; }
#endif

#if defined(__x86_64__) || defined(__i386__)
#define FC_PAUSE() __builtin_ia32_pause()
#else
#define FC_PAUSE() ((void)0)
#endif

#define FC_SPINS 300 /* about 5 microseconds */

typedef struct {
    int arrived, passed; /* threads at the barrier; how often all have passed it */
    int next;            /* the next piece of work */
} fc_team;

static inline void fc_wait(fc_team *team)
{
    const int passed = __atomic_load_n(&team->passed, __ATOMIC_RELAXED);
    if (__atomic_add_fetch(&team->arrived, 1, __ATOMIC_ACQ_REL) == omp_get_num_threads()) {
        team->arrived = 0;
        __atomic_store_n(&team->passed, passed + 1, __ATOMIC_RELEASE);
        return;
    }
    for (int spins = 0; __atomic_load_n(&team->passed, __ATOMIC_ACQUIRE) == passed; spins++)
        if (spins < FC_SPINS)
            FC_PAUSE();
        else
            sched_yield();
}

static inline int fc_take(fc_team *team) { return __atomic_fetch_add(&team->next, 1, __ATOMIC_RELAXED); }

#endif
