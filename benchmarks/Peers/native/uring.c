/* For scale: what io_uring itself costs. liburing, one thread, DEFER_TASKRUN and SINGLE_ISSUER, multishot accept and
 * receive from a ring of provided buffers, one submission per turn. A received buffer is sent as it is and returned to
 * the ring when its send is complete; one send is on the way per connection, all that waits goes into the next. */
#include "echo.h"
#include <liburing.h>
#include <sys/uio.h>

enum { BUFFER = 16 * 1024, BUFFERS = 1024, GROUP = 0, SQ = 4096, CQ = 16384, GATHER = 16 };
enum kind { ACCEPT, RECEIVE, SEND }; /* in the low bits of user_data; the rest is the connection */

struct conn {
    int fd, receiving, sending, ended, starved;
    int first, last;          /* buffers that wait to be sent, or are being sent; -1 when none */
    int in_send;              /* how many of them the send on the way holds */
    struct msghdr message;
    struct iovec parts[GATHER];
    struct conn *next_starved;
};

static struct io_uring ring;
static struct io_uring_buf_ring *pool;
static char *memory;
static int next[BUFFERS], length[BUFFERS], returned, held;
static struct conn *starved;

static struct io_uring_sqe *entry(struct conn *c, enum kind kind) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    if (sqe == NULL) {
        io_uring_submit(&ring);
        if ((sqe = io_uring_get_sqe(&ring)) == NULL) die("no submission entry");
    }
    sqe->user_data = (uint64_t)(uintptr_t)c | kind;
    return sqe;
}

/* The prep functions clear user_data in newer versions of the library: set it again afterwards. */
static void receive(struct conn *c) {
    struct io_uring_sqe *sqe = entry(c, RECEIVE);
    uint64_t data = sqe->user_data;
    io_uring_prep_recv_multishot(sqe, c->fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = GROUP;
    sqe->user_data = data;
    c->receiving = 1;
}

static void give_back(int id) {
    io_uring_buf_ring_add(pool, memory + (size_t)id * BUFFER, BUFFER, (unsigned short)id,
        io_uring_buf_ring_mask(BUFFERS), returned++);
    held--;
}

static void send_what_waits(struct conn *c) {
    struct io_uring_sqe *sqe = entry(c, SEND);
    uint64_t data = sqe->user_data;
    int count = 0;
    for (int id = c->first; id >= 0 && count < GATHER; id = next[id], count++)
        c->parts[count] = (struct iovec){memory + (size_t)id * BUFFER, (size_t)length[id]};
    if (count == 1) {
        io_uring_prep_send(sqe, c->fd, c->parts[0].iov_base, c->parts[0].iov_len, MSG_WAITALL | MSG_NOSIGNAL);
    } else {
        c->message = (struct msghdr){.msg_iov = c->parts, .msg_iovlen = (size_t)count};
        io_uring_prep_sendmsg(sqe, c->fd, &c->message, MSG_WAITALL | MSG_NOSIGNAL);
    }
    sqe->user_data = data;
    c->in_send = count;
    c->sending = 1;
}

static void drop_first(struct conn *c) {
    int id = c->first;
    c->first = next[id];
    give_back(id);
}

static void end_if_quiet(struct conn *c) {
    if (!c->ended || c->receiving || c->sending || c->starved) return;
    while (c->first >= 0) drop_first(c);
    close(c->fd);
    free(c);
}

static void on_receive(struct conn *c, struct io_uring_cqe *cqe) {
    if (!(cqe->flags & IORING_CQE_F_MORE)) c->receiving = 0;
    if (cqe->res > 0) {
        int id = (int)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
        held++;
        next[id] = -1, length[id] = cqe->res;
        if (c->first < 0) c->first = id;
        else next[c->last] = id;
        c->last = id;
        if (c->ended) drop_first(c);
        else if (!c->sending) send_what_waits(c);
        if (!c->receiving && !c->ended) receive(c);
    } else if (cqe->res == -ENOBUFS && !c->ended) {
        c->starved = 1, c->next_starved = starved, starved = c; /* armed again when buffers have come back */
    } else if (cqe->res == 0 && c->first >= 0 && !c->ended) {
        c->ended = -1; /* the peer has finished; what waits is still sent */
    } else {
        c->ended = 1;
    }
    end_if_quiet(c);
}

static void on_send(struct conn *c, int res) {
    c->sending = 0;
    for (; c->in_send > 0; c->in_send--) drop_first(c);
    if (res < 0) {
        c->ended = 1;
        if (c->receiving) shutdown(c->fd, SHUT_RDWR);
    } else if (c->first >= 0) {
        send_what_waits(c);
    }
    if (c->first < 0 && c->ended < 0) c->ended = 1;
    end_if_quiet(c);
}

static void on_accept(struct io_uring_cqe *cqe) {
    if (cqe->res < 0) { errno = -cqe->res; die("accept"); }
    struct conn *c = calloc(1, sizeof *c);
    if (c == NULL) die("calloc");
    c->fd = cqe->res;
    c->first = c->last = -1;
    receive(c);
}

static void accept_on(int listener) {
    struct io_uring_sqe *sqe = entry(NULL, ACCEPT);
    io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC);
    sqe->user_data = ACCEPT;
}

static void set_up(void) {
    struct io_uring_params params = {.flags = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL
        | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, .cq_entries = CQ};
    int failed = io_uring_queue_init_params(SQ, &ring, &params);
    if (failed) { errno = -failed; die("io_uring_setup"); }
    io_uring_register_ring_fd(&ring);
    if (posix_memalign((void **)&pool, 4096, BUFFERS * sizeof(struct io_uring_buf)) != 0) die("posix_memalign");
    if (posix_memalign((void **)&memory, 4096, (size_t)BUFFERS * BUFFER) != 0) die("posix_memalign");
    struct io_uring_buf_reg reg = {.ring_addr = (uint64_t)(uintptr_t)pool, .ring_entries = BUFFERS, .bgid = GROUP};
    if ((failed = io_uring_register_buf_ring(&ring, &reg, 0)) != 0) { errno = -failed; die("register_buf_ring"); }
    io_uring_buf_ring_init(pool);
    for (int id = 0; id < BUFFERS; id++) give_back(id);
    io_uring_buf_ring_advance(pool, returned);
    returned = held = 0;
}

static void turn(int listener) {
    struct io_uring_cqe *cqe;
    unsigned head, seen = 0;
    int failed = io_uring_submit_and_wait(&ring, 1);
    if (failed < 0 && failed != -EINTR) { errno = -failed; die("submit_and_wait"); }
    io_uring_for_each_cqe(&ring, head, cqe) {
        struct conn *c = (struct conn *)(uintptr_t)(cqe->user_data & ~(uint64_t)3);
        switch (cqe->user_data & 3) {
        case ACCEPT:
            on_accept(cqe);
            if (!(cqe->flags & IORING_CQE_F_MORE)) accept_on(listener);
            break;
        case RECEIVE: on_receive(c, cqe); break;
        case SEND: on_send(c, cqe->res); break;
        }
        seen++;
    }
    io_uring_cq_advance(&ring, seen);
    if (returned > 0) io_uring_buf_ring_advance(pool, returned);
    returned = 0;
    while (starved != NULL && held < BUFFERS * 3 / 4) {
        struct conn *c = starved;
        starved = c->next_starved, c->starved = 0;
        if (c->ended) end_if_quiet(c);
        else receive(c);
    }
}

int main(int argc, char **argv) {
    int listener = listen_on(port_of(argc, argv), 0);
    set_up();
    accept_on(listener);
    while (1) turn(listener);
}
