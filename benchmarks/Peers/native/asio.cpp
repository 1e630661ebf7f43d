// Asio (standalone) as its examples show it: a session per connection, async_read_some, async_write, one thread.
#include <array>
#include <asio.hpp>
#include <cstdlib>
#include <memory>

using asio::ip::tcp;

class session : public std::enable_shared_from_this<session> {
public:
    explicit session(tcp::socket socket) : socket_(std::move(socket)) {}

    void read() {
        socket_.async_read_some(asio::buffer(bytes_), [self = shared_from_this()](std::error_code error, size_t n) {
            if (!error) self->write(n);
        });
    }

private:
    void write(size_t length) {
        asio::async_write(socket_, asio::buffer(bytes_, length),
            [self = shared_from_this()](std::error_code error, size_t) {
                if (!error) self->read();
            });
    }

    tcp::socket socket_;
    std::array<char, 32 * 1024> bytes_;
};

static void accept(tcp::acceptor &acceptor) {
    acceptor.async_accept([&acceptor](std::error_code error, tcp::socket socket) {
        if (!error) {
            socket.set_option(tcp::no_delay(true));
            std::make_shared<session>(std::move(socket))->read();
        }
        accept(acceptor);
    });
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    asio::io_context loop{1}; // one thread: the library may leave out what several would need
    tcp::acceptor acceptor(loop);
    tcp::endpoint at(asio::ip::address_v4::loopback(), static_cast<unsigned short>(std::atoi(argv[1])));
    acceptor.open(at.protocol());
    acceptor.bind(at);
    acceptor.listen(4096);
    accept(acceptor);
    loop.run();
}
