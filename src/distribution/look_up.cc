#include "distribution/look_up.h"

#include <thread>
#include <utility>

#include "ml_worker/log.h"

namespace ml_worker::distribution {
namespace {

Addresses addresses_of(const std::string& host) {
  asio::io_context nothing_runs;
  asio::ip::tcp::resolver resolver(nothing_runs);
  std::error_code unknown;
  Addresses found;
  for (const auto& entry : resolver.resolve(host, "", unknown)) {
    found.push_back(entry.endpoint().address());
  }
  return found;
}

}  // namespace

void look_up(const std::string& host, std::function<void(std::function<void()>)> post,
             std::function<void(Addresses)> done) {
  std::error_code is_name;
  const auto address = asio::ip::make_address(host, is_name);
  if (!is_name) return done({address});
  try {
    std::thread([host, post = std::move(post), done] {
      log::contained("a host could not be looked up",
                     [&] { post([done, found = addresses_of(host)] { done(found); }); });
    }).detach();
  } catch (const std::system_error&) {
    done({});
  }
}

}  // namespace ml_worker::distribution
