/* libuv as its guide teaches it, with the two things its fast users do: one buffer for all reads (a read callback uses
 * it up before the next), and uv_try_write first, so that no request is allocated while the kernel takes everything. */
#include "echo.h"
#include <uv.h>

enum { BUFFER = 64 * 1024 };

static char buffer[BUFFER];

static void on_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *into) {
    (void)handle, (void)suggested;
    *into = uv_buf_init(buffer, BUFFER);
}

static void on_close(uv_handle_t *handle) { free(handle); }

static void on_read(uv_stream_t *stream, ssize_t received, const uv_buf_t *from);

static void on_written(uv_write_t *request, int status) {
    uv_stream_t *stream = request->handle;
    free(request->data);
    free(request);
    if (status == 0) uv_read_start(stream, on_allocate, on_read);
    else if (!uv_is_closing((uv_handle_t *)stream)) uv_close((uv_handle_t *)stream, on_close);
}

static void on_read(uv_stream_t *stream, ssize_t received, const uv_buf_t *from) {
    if (received == 0) return;
    if (received < 0) { uv_close((uv_handle_t *)stream, on_close); return; }
    uv_buf_t out = uv_buf_init(from->base, (unsigned)received);
    int sent = uv_try_write(stream, &out, 1);
    if (sent == received) return;
    if (sent < 0) sent = 0; /* UV_EAGAIN; a real error comes back with the request */
    uv_write_t *request = malloc(sizeof *request);
    request->data = malloc((size_t)(received - sent));
    memcpy(request->data, from->base + sent, (size_t)(received - sent));
    out = uv_buf_init(request->data, (unsigned)(received - sent));
    uv_read_stop(stream);
    if (uv_write(request, stream, &out, 1, on_written) != 0) die("uv_write");
}

static void on_connection(uv_stream_t *listener, int status) {
    if (status < 0) return;
    uv_tcp_t *client = malloc(sizeof *client);
    uv_tcp_init(listener->loop, client);
    if (uv_accept(listener, (uv_stream_t *)client) != 0) die("uv_accept");
    uv_tcp_nodelay(client, 1);
    uv_read_start((uv_stream_t *)client, on_allocate, on_read);
}

int main(int argc, char **argv) {
    uv_tcp_t listener;
    struct sockaddr_in at;
    uv_tcp_init(uv_default_loop(), &listener);
    uv_ip4_addr("127.0.0.1", port_of(argc, argv), &at);
    if (uv_tcp_bind(&listener, (struct sockaddr *)&at, 0) != 0) die("bind");
    if (uv_listen((uv_stream_t *)&listener, 4096, on_connection) != 0) die("listen");
    return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
