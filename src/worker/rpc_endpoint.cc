#include "worker/rpc_endpoint.h"

#include <utility>

namespace ml_worker {
namespace {

using distribution::RemoteCall;
using distribution::RemoteReply;

/// `undef` echoes the arguments of a call only when they are small, as the stack of an Erlang
/// exception would hold them; a caller's megabytes are not sent back.
constexpr std::size_t kMaxEchoedArguments = 1024;

std::int64_t arity_of(terms::ScannedTerm arguments) {
  terms::Reader reader(arguments);
  if (const auto length = reader.read_list()) return static_cast<std::int64_t>(*length);
  if (const auto text = reader.read_string()) return static_cast<std::int64_t>(text->size());
  return 0;
}

bool is_undef(const terms::CallReply& reply) {
  terms::Bytes undef;
  terms::Writer(undef).atom("undef");
  return reply.term == undef;
}

/// `[{ml_worker, F, ArityOrArgs, []}]`
terms::Bytes stack_of(const RemoteCall& call, bool echo_arguments) {
  terms::Bytes stack;
  terms::Writer writer(stack);
  writer.list(1);
  writer.tuple(4);
  writer.atom(call.module);
  writer.atom(call.function);
  if (echo_arguments && call.arguments.bytes().size() < kMaxEchoedArguments) {
    writer.raw(call.arguments.bytes());
  } else {
    writer.integer(arity_of(call.arguments));
  }
  writer.nil();
  writer.nil();
  return stack;
}

RemoteReply to_remote(const RemoteCall& call, terms::CallReply reply) {
  if (!reply.raised) return {RemoteReply::Kind::returned, std::move(reply.term), {}};
  terms::Bytes stack = stack_of(call, is_undef(reply));
  return {RemoteReply::Kind::raised, std::move(reply.term), std::move(stack)};
}

}  // namespace

distribution::CancelCall RpcEndpoint::call(RemoteCall call, distribution::CallReplier reply) {
  const auto bytes = call.arguments.bytes().size();
  const auto shared = std::make_shared<const RemoteCall>(std::move(call));
  auto sink = terms::make_reply_sink([shared, reply = std::move(reply)](terms::CallReply answer) {
    reply(to_remote(*shared, std::move(answer)));
  });
  auto make = [shared, this] {
    return terms::parse_request(shared->function, shared->arguments, service_.limits());
  };
  auto handle = service_.call(std::move(make), bytes, std::move(sink));
  return [handle = std::move(handle)] { handle->cancel(); };
}

}  // namespace ml_worker
