/* Connections that come and go: COUNT of them, CONCURRENT at a time, each with a random amount of seeded bytes and a
 * random end. Every byte that comes back is compared; a checksum over all of them is printed.
 *
 *   churn PORT COUNT CONCURRENT SEED [plain]
 *
 * A connection begins with 8 bytes: the way to end (a letter), three zeros, the length of the body (little endian).
 *   C  the client finishes first, after the whole echo      S  the server closes after the whole echo
 *   H  the client finishes its side before it reads         T  the server finishes its side, then reads to the end
 *   R  the client resets in the midst of the echo           A  the server resets after half of it
 * With "plain" there are no such 8 bytes, bodies have at most 1,024, and ways are C and R by halves: any echo server
 * will do.
 * Prints, as one JSON object: per letter how many ended as they should, wrong bytes, echoes cut short, failures. */
#include "load.h"

enum { BODY_MAX = 96 * 1024, PLAIN_MAX = 1024, TAIL = 1000, POOL = 1 << 17 };
static const char Ways[] = "CHRSTA";

struct conn {
    int fd, way, finished, tail_left, got_eof;
    uint32_t header_at, length, sent, received, reset_at, offset;
    unsigned char header[8];
    uint64_t deadline;
};

static unsigned char pool[POOL + BODY_MAX + TAIL], scratch[256 * 1024];
static uint64_t state, checksum = 14695981039346656037u, ended[6], wrong, cut_short, failed, body_bytes;
static int poll_fd, port, running, plain;
static long left_to_start;

static uint32_t below(uint32_t limit) { return (uint32_t)((next_random(&state) >> 16) % limit); }

static void begin(struct conn *c) {
    memset(c, 0, sizeof *c);
    c->way = plain ? (below(2) ? 0 : 2) : (int)below(6);
    c->length = plain ? below(PLAIN_MAX) + 1 : below(4) ? below(4096) + 1 : below(BODY_MAX) + 1;
    if (plain) c->header_at = sizeof c->header;
    c->offset = below(POOL);
    c->reset_at = below(c->length);
    memcpy(c->header, (unsigned char[]){(unsigned char)Ways[c->way], 0, 0, 0}, 4);
    for (int i = 0; i < 4; i++) c->header[4 + i] = (unsigned char)(c->length >> (8 * i));
    c->tail_left = Ways[c->way] == 'T' ? TAIL : 0;
    c->fd = connect_to(port, 0x7f000001u + (below(8) << 8), 0);
    c->deadline = now_ns() + 10000000000u;
    struct epoll_event e = {EPOLLIN | EPOLLOUT, {.ptr = c}};
    if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, c->fd, &e) != 0) die("epoll_ctl");
    running++;
    left_to_start--;
}

static void end(struct conn *c, int as_it_should, int with_reset) {
    if (as_it_should) ended[c->way]++;
    if (with_reset) reset(c->fd);
    else close(c->fd);
    c->fd = -1;
    running--;
    if (left_to_start > 0) begin(c);
}

static void watch(struct conn *c, uint32_t events) {
    struct epoll_event e = {events, {.ptr = c}};
    if (epoll_ctl(poll_fd, EPOLL_CTL_MOD, c->fd, &e) != 0) die("epoll_ctl");
}

/* Sends header, body, and the tail of way T once the server has finished. 0 when the connection is gone. */
static int push(struct conn *c) {
    while (1) {
        const unsigned char *from = c->header + c->header_at;
        size_t size = sizeof c->header - c->header_at;
        if (size == 0) from = pool + c->offset + c->sent, size = c->length - c->sent;
        if (size == 0 && c->got_eof) from = pool + c->offset, size = (size_t)c->tail_left;
        if (size == 0) break;
        ssize_t sent = send(c->fd, from, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) return 1;
        if (sent < 0) return 0;
        if (c->header_at < sizeof c->header) c->header_at += (uint32_t)sent;
        else if (c->sent < c->length) c->sent += (uint32_t)sent;
        else c->tail_left -= (int)sent;
    }
    watch(c, EPOLLIN);
    char way = Ways[c->way];
    if (!c->finished && (way == 'H' || (way == 'C' && c->received == c->length) || (way == 'T' && c->got_eof))) {
        shutdown(c->fd, SHUT_WR);
        c->finished = 1;
    }
    return 1;
}

static void on_bytes(struct conn *c, ssize_t received) {
    for (ssize_t i = 0; i < received; i++)
        checksum = (checksum ^ scratch[i]) * 1099511628211u;
    uint32_t room = c->length - c->received;
    uint32_t expected = (uint32_t)received < room ? (uint32_t)received : room;
    wrong += (uint64_t)(received - expected); /* bytes nobody sent */
    if (memcmp(scratch, pool + c->offset + c->received, expected) != 0)
        for (uint32_t i = 0; i < expected; i++) wrong += scratch[i] != pool[c->offset + c->received + i];
    c->received += expected;
    body_bytes += (uint64_t)received;
}

static void on_end(struct conn *c, ssize_t received) {
    char way = Ways[c->way];
    int whole = c->received == c->length;
    if (way == 'A') { end(c, 1, 0); return; } /* a reset; what came before it was compared */
    if (received < 0) { failed++; fprintf(stderr, "churn: way %c: %s\n", way, strerror(errno)); end(c, 0, 0); return; }
    if (!whole) { cut_short++; end(c, 0, 0); return; }
    if (way == 'T' && !c->finished) {
        c->got_eof = 1;
        watch(c, EPOLLOUT);
        if (!push(c)) end(c, 0, 0);
        else if (c->finished) end(c, 1, 0);
        return;
    }
    end(c, 1, 0);
}

static void step(struct conn *c, uint32_t events) {
    if (c->fd < 0) return;
    if (events & EPOLLOUT && !c->got_eof && !push(c) && Ways[c->way] != 'A') { on_end(c, -1); return; }
    if (c->got_eof) {
        if (!push(c)) { failed++; end(c, 0, 0); }
        else if (c->finished) end(c, 1, 0);
        return;
    }
    if (!(events & ~(uint32_t)EPOLLOUT)) return;
    /* One that will reset reads no further than that: the rest is unread, or on its way, when the reset comes. */
    size_t wanted = Ways[c->way] == 'R' ? c->reset_at + 1 - c->received : sizeof scratch;
    ssize_t received = recv(c->fd, scratch, wanted, 0);
    if (received < 0 && errno == EAGAIN) return;
    if (received <= 0) { on_end(c, received); return; }
    on_bytes(c, received);
    if (Ways[c->way] == 'R' && c->received > c->reset_at) { end(c, 1, 1); return; }
    if (Ways[c->way] == 'C' && c->received == c->length) push(c);
}

static void report(long count, uint64_t ns) {
    printf("{\"connections\":%ld,\"milliseconds\":%llu,", count, (unsigned long long)(ns / 1000000));
    for (int way = 0; way < 6; way++) printf("\"%c\":%llu,", Ways[way], (unsigned long long)ended[way]);
    printf("\"wrongBytes\":%llu,\"cutShort\":%llu,\"failed\":%llu,\"bytes\":%llu,\"checksum\":\"%016llx\"}\n",
        (unsigned long long)wrong, (unsigned long long)cut_short, (unsigned long long)failed,
        (unsigned long long)body_bytes, (unsigned long long)checksum);
}

int main(int argc, char **argv) {
    plain = argc == 6 && strcmp(argv[5], "plain") == 0;
    if (argc != 5 && !plain) { errno = EINVAL; die("churn PORT COUNT CONCURRENT SEED [plain]"); }
    port = atoi(argv[1]);
    long count = left_to_start = atol(argv[2]);
    int concurrent = atoi(argv[3]);
    state = strtoull(argv[4], 0, 10) * 2 + 1;
    for (size_t i = 0; i < sizeof pool; i++) pool[i] = (unsigned char)(next_random(&state) >> 24);
    allow_all_descriptors();
    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct conn *conns = calloc((size_t)concurrent, sizeof *conns);
    if (conns == NULL) die("calloc");
    uint64_t started = now_ns();
    for (int i = 0; i < concurrent && left_to_start > 0; i++) begin(&conns[i]);
    struct epoll_event events[256];
    while (running > 0) {
        int ready = epoll_wait(poll_fd, events, 256, 1000);
        for (int i = 0; i < ready; i++) step(events[i].data.ptr, events[i].events);
        uint64_t now = now_ns();
        for (int i = 0; ready < concurrent / 4 && i < concurrent; i++) {
            if (conns[i].fd <= 0 || now < conns[i].deadline) continue;
            failed++;
            fprintf(stderr, "churn: way %c: 10 s without an end\n", Ways[conns[i].way]);
            end(&conns[i], 0, 1);
        }
    }
    report(count, now_ns() - started);
    return 0;
}
