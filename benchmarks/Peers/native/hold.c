/* Many idle connections: COUNT of them from this one process (less than its descriptor limit), 10,000 from each source
 * address 127.0.FIRST.1, 127.0.FIRST+1.1, …
 *
 *   hold PORT COUNT FIRST
 *
 * Prints "held COUNT" when all are connected, and obeys lines on stdin:
 *   echo    64 bytes on every connection, each its own; prints "echoed RIGHT WRONG"
 *   close   ends them with RST; prints "closed" */
#include "load.h"
#include <poll.h>

enum { BYTES = 64, BATCH = 128, PER_SOURCE = 10000 };

static void fill(unsigned char *bytes, int index, uint64_t round) {
    uint64_t random = ((uint64_t)index * 2654435761u + round) * 2 + 1;
    for (int i = 0; i < BYTES; i++) bytes[i] = (unsigned char)(next_random(&random) >> 24);
}

static int came_back(int fd, const unsigned char *wanted) {
    unsigned char got[BYTES];
    for (size_t at = 0; at < BYTES;) {
        struct pollfd ready = {fd, POLLIN, 0};
        if (poll(&ready, 1, 10000) != 1) return 0;
        ssize_t received = recv(fd, got + at, BYTES - at, 0);
        if (received <= 0) return 0;
        at += (size_t)received;
    }
    return memcmp(got, wanted, BYTES) == 0;
}

static void echo(const int *fds, int count, int first, uint64_t round) {
    static unsigned char sent[BATCH][BYTES];
    int right = 0;
    for (int from = 0; from < count; from += BATCH) {
        int end = from + BATCH < count ? from + BATCH : count;
        for (int i = from; i < end; i++) {
            fill(sent[i - from], i + first * PER_SOURCE, round);
            if (send(fds[i], sent[i - from], BYTES, MSG_NOSIGNAL) != BYTES) sent[i - from][0] ^= 1;
        }
        for (int i = from; i < end; i++) right += came_back(fds[i], sent[i - from]);
    }
    printf("echoed %d %d\n", right, count - right);
}

int main(int argc, char **argv) {
    if (argc != 4) { errno = EINVAL; die("hold PORT COUNT FIRST"); }
    int port = atoi(argv[1]), count = atoi(argv[2]), first = atoi(argv[3]);
    allow_all_descriptors();
    int *fds = calloc((size_t)count, sizeof *fds);
    if (fds == NULL) die("calloc");
    for (int i = 0; i < count; i++)
        fds[i] = connect_to(port, 0x7f000001u + ((uint32_t)(first + i / PER_SOURCE) << 8), 1);
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("held %d\n", count);
    char line[32];
    for (uint64_t round = 1; fgets(line, sizeof line, stdin) != NULL; round++) {
        if (strcmp(line, "echo\n") == 0) {
            echo(fds, count, first, round);
        } else if (strcmp(line, "close\n") == 0) {
            for (int i = 0; i < count; i++) reset(fds[i]);
            count = 0;
            puts("closed");
        }
    }
    return 0;
}
