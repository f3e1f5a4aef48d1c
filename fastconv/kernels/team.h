/* The threads of one parallel region: they join, take pieces of work, and wait for each other.
 *
 * OpenMP's own barriers spin for milliseconds, and a thread that wakes up on a core where another one of its team is at
 * work may wait there for its time slice, and again at the next barrier.  Here a thread that waits offers its core
 * after some microseconds, so does one that works while the team is not complete, and one that joins on a taken core
 * moves to a free one.
 */
#ifndef FASTCONV_TEAM_H
#define FASTCONV_TEAM_H

#ifdef _OPENMP
#include <omp.h>
#include <sched.h>
#define FC_THREADS() omp_get_num_threads()
#define FC_YIELD() sched_yield()
#else
#define FC_THREADS() 1
#define FC_YIELD() ((void)0)
#endif

#if defined(__x86_64__) || defined(__i386__)
#define FC_PAUSE() __builtin_ia32_pause()
#else
#define FC_PAUSE() ((void)0)
#endif

#define FC_SPINS 300 /* about 5 microseconds */
#define FC_CORES 1024

typedef struct {
    int present;         /* threads that have joined */
    int arrived, passed; /* threads at the barrier; how often all have passed it */
    int next;            /* the next piece of work */
    char taken[FC_CORES];
} fc_team;

/* Every thread joins once, before it works. */
static inline void fc_join(fc_team *team)
{
#if defined(_OPENMP) && defined(__linux__) && defined(CPU_SET)
    cpu_set_t allowed, vacant;
    const int here = FC_THREADS() > 1 ? sched_getcpu() : -1;
    if (here >= 0 && here < FC_CORES && __atomic_exchange_n(&team->taken[here], 1, __ATOMIC_RELAXED) &&
        sched_getaffinity(0, sizeof(allowed), &allowed) == 0) {
        CPU_ZERO(&vacant);
        for (int c = 0; c < CPU_SETSIZE && c < FC_CORES; c++)
            if (CPU_ISSET(c, &allowed) && !__atomic_load_n(&team->taken[c], __ATOMIC_RELAXED))
                CPU_SET(c, &vacant);
        if (CPU_COUNT(&vacant) && sched_setaffinity(0, sizeof(vacant), &vacant) == 0) { /* moves the thread at once */
            const int there = sched_getcpu();
            if (there >= 0 && there < FC_CORES)
                __atomic_store_n(&team->taken[there], 1, __ATOMIC_RELAXED);
            sched_setaffinity(0, sizeof(allowed), &allowed);
        }
    }
#endif
    __atomic_fetch_add(&team->present, 1, __ATOMIC_RELAXED);
}

/* The number of the next piece of work. */
static inline int fc_take(fc_team *team)
{
    if (__atomic_load_n(&team->present, __ATOMIC_RELAXED) < FC_THREADS())
        FC_YIELD();
    return __atomic_fetch_add(&team->next, 1, __ATOMIC_RELAXED);
}

/* The barrier, in two parts: what a thread does in between it does in time that it would wait, the first one above all.
 * Whether it is the first one to arrive. */
static inline int fc_arrive(fc_team *team, int *passed /* OUT: how often all have passed */)
{
    *passed = __atomic_load_n(&team->passed, __ATOMIC_RELAXED);
    const int arrived = __atomic_add_fetch(&team->arrived, 1, __ATOMIC_ACQ_REL);
    if (arrived == FC_THREADS()) {
        team->arrived = 0;
        __atomic_store_n(&team->passed, *passed + 1, __ATOMIC_RELEASE);
    }
    return arrived == 1;
}

static inline void fc_pass(const fc_team *team, int passed)
{
    for (int spins = 0; __atomic_load_n(&team->passed, __ATOMIC_ACQUIRE) == passed; spins++)
        if (spins < FC_SPINS)
            FC_PAUSE();
        else
            FC_YIELD();
}

static inline void fc_wait(fc_team *team)
{
    int passed;
    fc_arrive(team, &passed);
    fc_pass(team, passed);
}

#endif
