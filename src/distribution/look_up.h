// The addresses of a host's name.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "distribution/asio.h"

namespace ml_worker::distribution {

using Addresses = std::vector<asio::ip::address>;

/// Asks the machine's resolver in a thread of its own: one whose name server does not answer takes
/// as long as that is configured to, and all others would wait behind it, for Asio has one thread
/// for all. `done` is handed to `post`, from that thread, with no address where there is none;
/// neither keeps anything alive that must end before the process does. At once with none where no
/// thread can be had, and with the address where that stands in place of a name.
void look_up(const std::string& host, std::function<void(std::function<void()>)> post,
             std::function<void(Addresses)> done);

}  // namespace ml_worker::distribution
