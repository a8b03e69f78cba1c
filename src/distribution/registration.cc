#include "distribution/registration.h"

#include <spawn.h>
#include <sys/wait.h>

#include <algorithm>
#include <utility>

#include "distribution/epmd.h"
#include "ml_worker/log.h"

// POSIX declares it nowhere.
extern char** environ;

namespace ml_worker::distribution {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds kFirstBackoff = 100ms;
constexpr std::chrono::milliseconds kLongestBackoff = 2000ms;
constexpr std::chrono::milliseconds kResponseTimeout = 5000ms;

/// `epmd -daemon` returns as soon as the daemon listens.
bool run_epmd_daemon(std::uint16_t port) {
  std::string port_text = std::to_string(port);
  std::string words[] = {"epmd", "-port", port_text, "-daemon"};
  char* const arguments[] = {words[0].data(), words[1].data(), words[2].data(), words[3].data(),
                             nullptr};
  pid_t child = 0;
  if (posix_spawnp(&child, "epmd", nullptr, nullptr, arguments, environ) != 0) return false;
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

Registration::Registration(asio::io_context& io, RegistrationOptions options)
    : io_(io),
      options_(std::move(options)),
      endpoints_{asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), options_.epmd_port),
                 asio::ip::tcp::endpoint(asio::ip::address_v6::loopback(), options_.epmd_port)},
      socket_(io),
      retry_timer_(io),
      deadline_(io),
      backoff_(kFirstBackoff) {}

void Registration::start() { connect(); }

void Registration::withdraw() {
  withdrawn_ = true;
  registered_ = false;
  retry_timer_.cancel();
  deadline_.cancel();
  std::error_code ignored;
  socket_.close(ignored);
}

void Registration::connect() {
  if (withdrawn_) return;
  socket_ = asio::ip::tcp::socket(io_);
  deadline_.expires_after(kResponseTimeout);
  deadline_.async_wait([self = shared_from_this()](std::error_code error) {
    std::error_code ignored;
    if (!error) self->socket_.close(ignored);  // the operation under way fails, and it retries
  });
  asio::async_connect(socket_, endpoints_,
                      [self = shared_from_this()](std::error_code error, const auto&) {
                        if (self->withdrawn_) return;
                        if (error) return self->failed(RegistrationTrouble::no_epmd);
                        self->send_request();
                      });
}

void Registration::send_request() {
  request_ = epmd::alive2_request(options_.alive_name, options_.port);
  received_ = 0;
  asio::async_write(socket_, asio::buffer(request_),
                    [self = shared_from_this()](std::error_code error, std::size_t) {
                      if (self->withdrawn_) return;
                      if (error) return self->failed(RegistrationTrouble::no_epmd);
                      self->read_response();
                    });
}

void Registration::read_response() {
  socket_.async_read_some(asio::buffer(input_) + received_,
                          [self = shared_from_this()](std::error_code error, std::size_t count) {
                            if (self->withdrawn_) return;
                            if (error) return self->failed(RegistrationTrouble::no_epmd);
                            self->on_response(count);
                          });
}

void Registration::on_response(std::size_t count) {
  using State = epmd::Parse<epmd::Alive2Response>::State;
  received_ += count;
  const auto response = epmd::parse_alive2_response(ByteView(input_).first(received_));
  if (response.state == State::incomplete) return read_response();
  if (response.state == State::malformed) return failed(RegistrationTrouble::no_epmd);
  if (!response.value.accepted) return failed(RegistrationTrouble::name_taken);
  on_registered();
}

void Registration::on_registered() {
  deadline_.cancel();
  registered_ = true;
  backoff_ = kFirstBackoff;
  log::info(
      std::exchange(ever_registered_, true) ? "registered with epmd again" : "registered with epmd",
      {{"name", options_.alive_name}, {"port", std::to_string(options_.port)}});
  watch();
}

/// The name is ours while the connection is open: EOF means that epmd is gone.
void Registration::watch() {
  socket_.async_read_some(asio::buffer(input_),
                          [self = shared_from_this()](std::error_code error, std::size_t) {
                            if (self->withdrawn_) return;
                            if (!error) return self->watch();
                            log::warning("epmd is gone: registering again");
                            self->registered_ = false;
                            self->failed(RegistrationTrouble::no_epmd);
                          });
}

void Registration::failed(RegistrationTrouble trouble) {
  deadline_.cancel();
  trouble_ = trouble;
  std::error_code ignored;
  socket_.close(ignored);
  if (trouble == RegistrationTrouble::no_epmd) start_epmd_once();
  if (trouble == RegistrationTrouble::name_taken) log_loss();
  retry();
}

/// At the start whoever waits for us says it.
void Registration::log_loss() {
  if (!ever_registered_ || !log_limiter_.allow("name taken")) return;
  log::warning("another node has our name in epmd: trying again until it is free",
               {{"name", options_.alive_name}});
}

/// Only before the first registration: a running node of OTP does not start it again either.
void Registration::start_epmd_once() {
  if (!options_.start_epmd || ever_registered_ || std::exchange(epmd_started_, true)) return;
  if (!run_epmd_daemon(options_.epmd_port)) {
    log::warning("no epmd runs, and `epmd -daemon` failed: is Erlang's epmd in the PATH?");
  }
}

void Registration::retry() {
  retry_timer_.expires_after(backoff_);
  backoff_ = std::min(2 * backoff_, kLongestBackoff);
  retry_timer_.async_wait([self = shared_from_this()](std::error_code error) {
    if (!error) self->connect();
  });
}

}  // namespace ml_worker::distribution
