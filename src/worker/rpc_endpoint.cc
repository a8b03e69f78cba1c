#include "worker/rpc_endpoint.h"

#include <utility>

namespace ml_worker {
namespace {

using distribution::RemoteCall;
using distribution::RemoteReply;

bool is_undef(const terms::CallReply& reply) {
  terms::Bytes undef;
  terms::Writer(undef).atom("undef");
  return reply.term == undef;
}

/// Functions that only ask for numbers which are there. `models` looks into folders.
bool only_asks(const std::string& function) {
  return function == "get_load" || function == "info" || function == "metrics";
}

RemoteReply to_remote(const RemoteCall& call, terms::CallReply reply) {
  if (!reply.raised) return {RemoteReply::Kind::returned, std::move(reply.term), {}};
  terms::Bytes stack =
      distribution::stack_trace(call.module, call.function, call.arguments, is_undef(reply));
  return {RemoteReply::Kind::raised, std::move(reply.term), std::move(stack)};
}

}  // namespace

distribution::CancelCall RpcEndpoint::call(RemoteCall call, distribution::CallReplier reply) {
  const CallSize size{call.frame->size(), call.arguments.bytes().size()};
  const auto shared = std::make_shared<const RemoteCall>(std::move(call));
  auto sink = terms::make_reply_sink([shared, reply = std::move(reply)](terms::CallReply answer) {
    reply(to_remote(*shared, std::move(answer)));
  });
  auto make = [shared, this] {
    return terms::parse_request(shared->function, shared->arguments, service_.limits());
  };
  auto handle = only_asks(shared->function) ? service_.call_here(make, size, std::move(sink))
                                            : service_.call(std::move(make), size, std::move(sink));
  return [handle = std::move(handle)] { handle->cancel(); };
}

}  // namespace ml_worker
