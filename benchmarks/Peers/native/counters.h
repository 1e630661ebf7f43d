/* What a server did, seen from outside: instructions and cycles (perf_event_open(2), where the machine counts them)
 * and the CPU of its JIT threads. */
#ifndef COUNTERS_H
#define COUNTERS_H
#include "load.h"
#include <dirent.h>
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

enum { COUNTERS_MAX = 256 };
static int counter_fds[2][COUNTERS_MAX], counter_count; /* [0] user instructions, [1] cycles of user and kernel */

static inline int open_counter(int thread, uint64_t what, int user_only) {
    struct perf_event_attr attr = {.type = PERF_TYPE_HARDWARE, .size = sizeof attr, .config = what,
        .exclude_kernel = user_only != 0, .exclude_hv = 1};
    return (int)syscall(SYS_perf_event_open, &attr, thread, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static inline void each_thread(int pid, void (*visit)(int pid, int thread, void *state), void *state) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    if (tasks == NULL) die("the server has no /proc entry");
    for (struct dirent *task; (task = readdir(tasks)) != NULL;)
        if (task->d_name[0] != '.') visit(pid, atoi(task->d_name), state);
    closedir(tasks);
}

static inline void count_thread(int pid, int thread, void *state) {
    (void)pid;
    int *works = state;
    if (!*works || counter_count == COUNTERS_MAX) return;
    int instructions = open_counter(thread, PERF_COUNT_HW_INSTRUCTIONS, 1);
    int cycles = instructions < 0 ? -1 : open_counter(thread, PERF_COUNT_HW_CPU_CYCLES, 0);
    if (cycles < 0) { *works = 0; return; }
    counter_fds[0][counter_count] = instructions;
    counter_fds[1][counter_count++] = cycles;
}

/* Every thread that there is now; a thread that begins later is not counted. Returns whether this machine counts. */
static inline int begin_counting(int pid) {
    int works = 1;
    counter_count = 0;
    each_thread(pid, count_thread, &works);
    return works;
}

static inline void end_counting(int works, double *instructions, double *cycles) {
    double *sums[2] = {instructions, cycles};
    for (int kind = 0; kind < 2; kind++) {
        *sums[kind] = works ? 0 : -1;
        for (int i = 0; i < counter_count; i++) {
            uint64_t value = 0;
            if (works && read(counter_fds[kind][i], &value, sizeof value) == sizeof value)
                *sums[kind] += (double)value;
            close(counter_fds[kind][i]);
        }
    }
}

static inline void add_jit(int pid, int thread, void *state) {
    char path[96], comm[32] = "";
    snprintf(path, sizeof path, "/proc/%d/task/%d/comm", pid, thread);
    FILE *file = fopen(path, "re");
    if (file == NULL) return;
    int is_jit = fgets(comm, sizeof comm, file) != NULL && strncmp(comm, ".NET Tiered", 11) == 0;
    fclose(file);
    snprintf(path, sizeof path, "/proc/%d/task/%d/schedstat", pid, thread);
    unsigned long long ns;
    if (!is_jit || (file = fopen(path, "re")) == NULL) return;
    if (fscanf(file, "%llu", &ns) == 1) *(uint64_t *)state += ns;
    fclose(file);
}

/* CPU of the threads that compile; 0 where there are none. */
static inline uint64_t jit_ns(int pid) {
    uint64_t total = 0;
    each_thread(pid, add_jit, &total);
    return total;
}
#endif
