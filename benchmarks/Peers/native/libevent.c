/* libevent's plain events, its fastest way: persistent read events and the program's own recv and send. (Its
 * bufferevents copy once more.) */
#include "echo.h"
#include <event2/event.h>

enum { BUFFER = 64 * 1024 };

struct conn {
    struct event *reading, *writing;
    char *left;
    size_t left_at, left_end;
};

static char buffer[BUFFER];
static struct event_base *loop;

static void end(struct conn *c, int fd) {
    event_free(c->reading);
    event_free(c->writing);
    close(fd);
    free(c->left);
    free(c);
}

static void on_readable(int fd, short what, void *arg) {
    (void)what;
    struct conn *c = arg;
    ssize_t received = recv(fd, buffer, BUFFER, 0);
    if (received < 0 && errno == EAGAIN) return;
    if (received <= 0) { end(c, fd); return; }
    ssize_t sent = send(fd, buffer, (size_t)received, MSG_NOSIGNAL);
    if (sent == received) return;
    if (sent < 0 && errno != EAGAIN) { end(c, fd); return; }
    if (sent < 0) sent = 0;
    c->left = malloc(BUFFER);
    c->left_at = 0, c->left_end = (size_t)(received - sent);
    memcpy(c->left, buffer + sent, c->left_end);
    event_del(c->reading);
    event_add(c->writing, NULL);
}

static void on_writable(int fd, short what, void *arg) {
    (void)what;
    struct conn *c = arg;
    ssize_t sent = send(fd, c->left + c->left_at, c->left_end - c->left_at, MSG_NOSIGNAL);
    if (sent < 0 && errno == EAGAIN) return;
    if (sent < 0) { end(c, fd); return; }
    c->left_at += (size_t)sent;
    if (c->left_at < c->left_end) return;
    free(c->left);
    c->left = NULL;
    event_del(c->writing);
    event_add(c->reading, NULL);
}

static void on_accept(int listener, short what, void *arg) {
    (void)what, (void)arg;
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        struct conn *c = calloc(1, sizeof *c);
        c->reading = event_new(loop, fd, EV_READ | EV_PERSIST, on_readable, c);
        c->writing = event_new(loop, fd, EV_WRITE | EV_PERSIST, on_writable, c);
        event_add(c->reading, NULL);
    }
}

int main(int argc, char **argv) {
    int listener = listen_on(port_of(argc, argv), SOCK_NONBLOCK);
    struct event_config *config = event_config_new();
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    loop = event_base_new_with_config(config);
    struct event *accepting = event_new(loop, listener, EV_READ | EV_PERSIST, on_accept, NULL);
    event_add(accepting, NULL);
    return event_base_dispatch(loop);
}
