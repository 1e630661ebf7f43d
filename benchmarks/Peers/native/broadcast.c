/* The measure of bench broadcast (1.00): what one client says, whole lines of it, goes to all others. One thread,
 * level-triggered epoll, one send for each member and piece; what the kernel does not take at once is kept. */
#include "echo.h"
#include <sys/epoll.h>

enum { BUFFER = 64 * 1024, EVENTS = 512, CONNS_MAX = 20000 };

struct conn {
    int fd, at; /* its place among all */
    char *left; /* NULL while nothing waits to be sent */
    size_t left_at, left_end;
    char *part; /* NULL while no line is begun */
    size_t part_bytes;
};

static char buffer[BUFFER];
static struct conn *conns[CONNS_MAX];
static int count, poll_fd;

static void watch(struct conn *c, uint32_t events) {
    struct epoll_event e = {events, {.ptr = c}};
    if (epoll_ctl(poll_fd, EPOLL_CTL_MOD, c->fd, &e) != 0) die("epoll_ctl");
}

static void end(struct conn *c) {
    conns[c->at] = conns[--count];
    conns[c->at]->at = c->at;
    close(c->fd);
    free(c->left);
    free(c->part);
    free(c);
}

static void keep(struct conn *c, const char *bytes, size_t size) {
    c->left = realloc(c->left, c->left_end + size);
    if (c->left == NULL) die("realloc");
    memcpy(c->left + c->left_end, bytes, size);
    c->left_end += size;
}

static void say(struct conn *c, const char *bytes, size_t size) {
    if (c->left != NULL) { keep(c, bytes, size); return; }
    ssize_t sent = send(c->fd, bytes, size, MSG_NOSIGNAL);
    if (sent == (ssize_t)size || (sent < 0 && errno != EAGAIN)) return; /* a dead one is noticed when it is read */
    if (sent < 0) sent = 0;
    c->left_at = c->left_end = 0;
    keep(c, bytes + sent, size - (size_t)sent);
    watch(c, EPOLLIN | EPOLLOUT);
}

static void on_readable(struct conn *c) {
    if (c->part_bytes == BUFFER) { end(c); return; }
    if (c->part != NULL) memcpy(buffer, c->part, c->part_bytes);
    ssize_t received = recv(c->fd, buffer + c->part_bytes, BUFFER - c->part_bytes, 0);
    if (received < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (received <= 0) { end(c); return; }
    size_t have = c->part_bytes + (size_t)received;
    char *last = memrchr(buffer, '\n', have);
    size_t whole = last == NULL ? 0 : (size_t)(last - buffer) + 1;
    for (int i = 0; i < count && whole > 0; i++)
        if (conns[i] != c) say(conns[i], buffer, whole);
    if ((c->part_bytes = have - whole) == 0) return;
    if (c->part == NULL && (c->part = malloc(BUFFER)) == NULL) die("malloc");
    memcpy(c->part, buffer + whole, c->part_bytes);
}

static void on_writable(struct conn *c) {
    ssize_t sent = send(c->fd, c->left + c->left_at, c->left_end - c->left_at, MSG_NOSIGNAL);
    if (sent < 0 && errno == EAGAIN) return;
    if (sent < 0) { end(c); return; }
    c->left_at += (size_t)sent;
    if (c->left_at < c->left_end) return;
    free(c->left);
    c->left = NULL;
    watch(c, EPOLLIN);
}

static void on_accept(int listener) {
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        struct conn *c = count < CONNS_MAX ? calloc(1, sizeof *c) : NULL;
        if (c == NULL) die("too many");
        c->fd = fd, c->at = count;
        conns[count++] = c;
        struct epoll_event e = {EPOLLIN, {.ptr = c}};
        if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &e) != 0) die("epoll_ctl");
    }
    if (errno != EAGAIN && errno != ECONNABORTED) die("accept4");
}

int main(int argc, char **argv) {
    int listener = listen_on(port_of(argc, argv), SOCK_NONBLOCK);
    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event accepting = {EPOLLIN, {.ptr = NULL}}, events[EVENTS];
    if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, listener, &accepting) != 0) die("epoll_ctl");
    while (1) {
        int ready = epoll_wait(poll_fd, events, EVENTS, -1);
        if (ready < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < ready; i++) {
            struct conn *c = events[i].data.ptr;
            if (c == NULL) on_accept(listener);
            else if (events[i].events & EPOLLOUT && c->left != NULL) on_writable(c);
            else on_readable(c); /* one that was ended here has had its only event of this round */
        }
    }
}
