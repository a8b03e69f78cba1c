// The one place that includes Asio, so that every file sees it with the same settings.
#pragma once

#define ASIO_STANDALONE
#define ASIO_NO_DEPRECATED
#include <asio.hpp>
