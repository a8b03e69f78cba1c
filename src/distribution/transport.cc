#include "distribution/transport.h"

#include <utility>

namespace ml_worker::distribution {
namespace {

class TcpTransport final : public Transport {
 public:
  explicit TcpTransport(asio::ip::tcp::socket socket) : socket_(std::move(socket)) {
    std::error_code ignored;
    // Without it two small writes wait for the peer's delayed acknowledgement: 44 ms a call.
    socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
    const auto remote = socket_.remote_endpoint(ignored);
    if (!ignored) address_ = remote.address().to_string();
  }

  void async_read_some(asio::mutable_buffer buffer, Handler handler) override {
    socket_.async_read_some(buffer, std::move(handler));
  }
  void async_write_some(const std::vector<asio::const_buffer>& buffers, Handler handler) override {
    socket_.async_write_some(buffers, std::move(handler));
  }
  void shutdown_send() override {
    std::error_code ignored;
    socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  }
  void close() override {
    std::error_code ignored;
    socket_.close(ignored);
  }
  std::size_t handshake_prefix_bytes() const override { return 2; }
  std::string remote_address() const override { return address_; }

 private:
  asio::ip::tcp::socket socket_;
  std::string address_ = "unknown";
};

}  // namespace

std::unique_ptr<Transport> make_tcp_transport(asio::ip::tcp::socket socket) {
  return std::make_unique<TcpTransport>(std::move(socket));
}

}  // namespace ml_worker::distribution
