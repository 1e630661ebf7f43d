/* The measure (1.00): a raw epoll echo as a careful C programmer writes it. One thread, level-triggered, one receive
 * and one send per readiness; what the kernel does not take at once is kept, and no more is read until it is gone. */
#include "echo.h"
#include <sys/epoll.h>

#ifndef BUFFER_KIB
#define BUFFER_KIB 64
#endif

enum { BUFFER = BUFFER_KIB * 1024, EVENTS = 512 };

struct conn {
    int fd;
    char *left; /* NULL while nothing waits to be sent */
    size_t left_at, left_end;
};

static char buffer[BUFFER];
static int poll_fd;

static void watch(struct conn *c, uint32_t events) {
    struct epoll_event e = {events, {.ptr = c}};
    if (epoll_ctl(poll_fd, EPOLL_CTL_MOD, c->fd, &e) != 0) die("epoll_ctl");
}

static void end(struct conn *c) {
    close(c->fd);
    free(c->left);
    free(c);
}

static void on_readable(struct conn *c) {
    ssize_t received = recv(c->fd, buffer, BUFFER, 0);
    if (received < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (received <= 0) { end(c); return; }
    ssize_t sent = send(c->fd, buffer, (size_t)received, MSG_NOSIGNAL);
    if (sent == received) return;
    if (sent < 0 && errno != EAGAIN) { end(c); return; }
    if (sent < 0) sent = 0;
    c->left = malloc(BUFFER);
    if (c->left == NULL) die("malloc");
    c->left_at = 0, c->left_end = (size_t)(received - sent);
    memcpy(c->left, buffer + sent, c->left_end);
    watch(c, EPOLLOUT);
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
        struct conn *c = calloc(1, sizeof *c);
        if (c == NULL) die("calloc");
        c->fd = fd;
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
            else if (c->left != NULL) on_writable(c);
            else on_readable(c);
        }
    }
}
