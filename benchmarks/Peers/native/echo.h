/* What every reference server needs and no contest is about: arguments, the listening socket, the way to fail. */
#ifndef ECHO_H
#define ECHO_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void die(const char *what) {
    fprintf(stderr, errno ? "%s: %s\n" : "%s\n", what, strerror(errno));
    exit(1);
}

static inline int port_of(int argc, char **argv) {
    if (argc != 2) { fprintf(stderr, "usage: %s PORT\n", argv[0]); exit(2); }
    return atoi(argv[1]);
}

/* No SO_REUSEADDR or SO_REUSEPORT: a port that somebody else has must fail. TCP_NODELAY is inherited (Linux). */
static inline int listen_on(int port, int flags) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    if (fd < 0) die("socket");
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0) die("TCP_NODELAY");
    if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0) die("bind");
    if (listen(fd, 4096) != 0) die("listen");
    return fd;
}
#endif
