// Where a peer's call becomes a request to the service, and the service's answer a reply.
#pragma once

#include "ml_worker/distribution.h"
#include "ml_worker/service.h"

namespace ml_worker {

class RpcEndpoint : public distribution::CallHandler {
 public:
  explicit RpcEndpoint(Service& service) : service_(service) {}

  /// On the node's thread: only hands over, but for what costs less than that. Decoding, checking
  /// and encoding happen on the service's threads.
  distribution::CancelCall call(distribution::RemoteCall call,
                                distribution::CallReplier reply) override;

 private:
  Service& service_;
};

}  // namespace ml_worker
