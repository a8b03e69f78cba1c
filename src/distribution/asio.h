// The one place that includes Asio, so that every file sees it with the same settings.
#pragma once

#define ASIO_STANDALONE
#define ASIO_NO_DEPRECATED
#ifdef __SANITIZE_THREAD__
#define ASIO_DISABLE_FENCED_BLOCK  // ThreadSanitizer knows no fences; the scheduler's mutex does
#endif
#include <asio.hpp>
