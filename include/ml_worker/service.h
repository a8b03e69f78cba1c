// What the worker does for a caller, whoever the caller is and however the call came.
//
// A call is a Request and a ReplySink. The service checks the request against its limits, answers
// what it can from the cache, tokenizes the rest, queues it for the device, puts the answer
// together and gives it to the sink, exactly once. It knows neither Erlang terms nor sockets nor
// libtorch.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "ml_worker/batching.h"
#include "ml_worker/cache.h"
#include "ml_worker/encoder.h"
#include "ml_worker/error.h"
#include "ml_worker/golden.h"
#include "ml_worker/value.h"

namespace ml_worker {

// ---- Requests -----------------------------------------------------------------------------------

/// How each vector comes.
enum class VectorFormat {
  list,    ///< list of floats: each the double nearest to the float32's shortest decimal
  binary,  ///< little-endian float32
  base64,  ///< base64 text of that
  json,    ///< JSON array text with the shortest float32 digits
};

/// What is embedded or scored: a text, or a pair of texts. Valid UTF-8.
struct Input {
  Input(std::string one) : text(std::move(one)) {}
  Input(const char* one) : text(one) {}
  Input(std::string first, std::string other) : text(std::move(first)), second(std::move(other)) {}

  std::string text;
  std::optional<std::string> second;
};

struct EncodeOptions {
  VectorFormat format = VectorFormat::list;
  bool truncate = true;  ///< false: a text over the model's limit is `too_long`
  std::optional<TruncationSide> truncation_side;  ///< none: the model's own
  std::optional<bool> normalize;                  ///< L2; none: the model's own
  std::optional<std::size_t> dimensions;          ///< cut to the first N, normalised again
  /// Name of one of the model's prompts, "" for no prompt; none: the model's default prompt.
  std::optional<std::string> prompt;
  std::optional<std::chrono::milliseconds> timeout;  ///< from arrival
  Priority priority = Priority::interactive;
  bool usage = false;
  bool timings = false;
  bool fingerprint = false;
  bool pieces = false;  ///< tokenize only: a map per token, of the whole text, in place of ids
  /// What the caller names the call for the log: letters, digits and ._~:/+=@- and blanks.
  std::string trace;
};

struct EncodeRequest {
  std::vector<std::string> texts;  ///< valid UTF-8
  std::string model;               ///< alias or name; "default" when the caller said none
  EncodeOptions options;
};

/// Vectors of an embedding model, scores of a classification model.
struct PredictRequest {
  std::vector<Input> inputs;  ///< pairs: for a classification model only
  bool single = false;        ///< one input was given bare: the answer is one vector, not a list
  std::string model;
  EncodeOptions options;
};

/// Texts on one side of a similarity().
struct TextOrTexts {
  std::vector<std::string> texts;
  bool single = false;  ///< one text was given bare
};

/// Cosines: a number for two texts, a list for a text and a list, a list of lists (a row for each
/// text of `a`) for two lists.
struct SimilarityRequest {
  TextOrTexts a;
  TextOrTexts b;
  std::string model;
  EncodeOptions options;
};

/// A vector per token, as the transformer gives it.
struct EmbedTokensRequest {
  std::vector<std::string> texts;
  std::string model;
  EncodeOptions options;
};

struct TokenizeRequest {
  std::vector<std::string> texts;
  std::string model;
  EncodeOptions options = {};
};

/// Answered with `ok` when the model is loaded.
struct LoadModelRequest {
  std::string model;
};

/// Answered with `ok` when no call uses the model any more and its memory is free.
struct UnloadModelRequest {
  std::string model;
};

struct InfoRequest {};
struct GetLoadRequest {};
struct HealthRequest {};
struct ModelsRequest {};
struct MetricsRequest {};

using Request = std::variant<EncodeRequest, PredictRequest, SimilarityRequest, EmbedTokensRequest,
                             TokenizeRequest, LoadModelRequest, UnloadModelRequest, InfoRequest,
                             GetLoadRequest, HealthRequest, ModelsRequest, MetricsRequest>;

/// Limits on what one call may bring; whoever decodes a request holds to them too.
struct RequestLimits {
  std::size_t text_bytes = std::size_t{1} << 20;
  std::size_t texts = 100000;
  std::size_t call_bytes = std::size_t{64} << 20;
};

// ---- Replies ------------------------------------------------------------------------------------

struct TokenUsage {
  std::size_t used = 0;
  std::size_t given = 0;
  bool given_is_lower_bound = false;
};

struct CallTimings {
  std::chrono::microseconds queue{0};
  std::chrono::microseconds tokenize{0};
  std::chrono::microseconds compute{0};
};

struct Fingerprint {
  std::string model_id;
  std::string numerics;
};

/// The answer to encode and predict. `vectors` are finite, in the order of the texts; several
/// entries may share one vector. What was not asked for is empty.
struct VectorsReply {
  std::vector<std::shared_ptr<const CachedVector>> vectors;
  VectorFormat format = VectorFormat::list;
  /// Each vector is one number and is sent as such, not as a list of one.
  bool scalars = false;
  std::size_t cached = 0;
  std::optional<std::vector<TokenUsage>> usage;
  std::optional<CallTimings> timings;
  std::optional<Fingerprint> fingerprint;
};

/// The answer to embed_tokens: per text one row per token, finite.
struct TokensReply {
  std::vector<std::vector<float>> texts;  ///< row-major
  std::size_t dimensions = 0;             ///< of a row
  VectorFormat format = VectorFormat::list;
};

/// Thrown by a sink that cannot make an answer: what the caller is told instead.
class ReplyError : public std::runtime_error {
 public:
  explicit ReplyError(Error error)
      : std::runtime_error(std::string(name_of(error.kind))), error_(std::move(error)) {}
  const Error& error() const { return error_; }

 private:
  Error error_;
};

/// Receives the answer to one call, from any thread and in two steps, so that it is counted when it
/// is made and before the caller has it: one of the functions makes the answer, deliver() hands it
/// on. If one of the two throws nothing was answered: failure() and deliver() follow, once.
class ReplySink {
 public:
  virtual ~ReplySink() = default;
  /// encode: a map with the embeddings and what was asked for besides.
  virtual void embeddings(const VectorsReply& reply) = 0;
  /// predict: bare vectors; the first one alone if `single`.
  virtual void prediction(const VectorsReply& reply, bool single) = 0;
  /// embed_tokens: a list per text of a vector per token.
  virtual void token_embeddings(const TokensReply& reply) = 0;
  virtual void value(const Value& value) = 0;
  virtual void failure(const Error& error) = 0;
  virtual void deliver() = 0;
};

/// A caller's interest in its call. cancel() may come at any time, from any thread: work that has
/// not started is dropped, and the sink may then never be called.
class CallHandle {
 public:
  virtual ~CallHandle() = default;
  virtual void cancel() = 0;
};

// ---- The service --------------------------------------------------------------------------------

/// A model that is ready to serve.
struct LoadedModel {
  LoadedModel(std::shared_ptr<Encoder> loaded, GoldenVectors verified = {})
      : encoder(std::move(loaded)), golden(std::move(verified)) {}

  std::shared_ptr<Encoder> encoder;
  /// What health checks compare with; empty: what the first check finds.
  GoldenVectors golden;
};

/// Where models come from that are not loaded. Called from one thread at a time, but list().
class ModelSource {
 public:
  virtual ~ModelSource() = default;
  /// Names of the models that are there.
  virtual std::vector<std::string> list() const = 0;
  /// About the memory that `name` will take; 0 if there is no such model.
  virtual std::size_t weight_bytes(const std::string& name) const = 0;
  /// Throws std::exception that says why it cannot be loaded.
  virtual LoadedModel load(const std::string& name) = 0;
};

struct ServiceOptions {
  RequestLimits limits;
  BatchingOptions batching;  ///< of 0 tokens: as many as suit the models' device
  std::size_t cache_bytes = std::size_t{256} << 20;
  int tokenizer_threads = 1;
  std::size_t pending_calls = 20000;  ///< calls admitted and not answered; more is `overloaded`
  /// Of their messages, and of what an embed_tokens gathers; more is `overloaded`.
  std::size_t pending_bytes = std::size_t{512} << 20;
  /// Alias to model name; `default` is always there.
  std::map<std::string, std::string> aliases;
  std::shared_ptr<ModelSource> source;  ///< none: nothing is loaded later
  /// Names or aliases of models that a call or load_model() may load.
  std::vector<std::string> allowed_models;
  /// Bound on the weights of all loaded models; 0: none.
  std::size_t models_max_bytes = 0;
  /// A forward pass that takes longer is `unhealthy`.
  std::chrono::milliseconds health_timeout{30000};
  /// A health result younger than this is used again.
  std::chrono::milliseconds health_max_age{5000};
};

/// How the service checks itself, without anybody asking.
struct SelfCheckOptions {
  std::chrono::milliseconds interval{30000};      ///< 0: no checks
  std::chrono::milliseconds confirm_after{1000};  ///< a failed check is repeated after that
  /// Called once, from any thread, when two checks in a row have failed; must be quick.
  std::function<void(const std::string& what)> on_unhealthy;
};

/// What a call came with, in bytes.
struct CallSize {
  std::size_t message;    ///< held until the answer
  std::size_t arguments;  ///< of the message: what is to be decoded and tokenized
};

class Service {
 public:
  /// `models`: at least one; the first is the default unless an alias says otherwise.
  Service(ServiceOptions options, std::vector<LoadedModel> models);
  ~Service();
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  const RequestLimits& limits() const;

  /// Queues the making of a request and its execution on the service's own threads. `make` turns
  /// what arrived into a Request (decoding must not cost the caller's thread). Never blocks;
  /// refusals reach the sink too (possibly before this returns).
  /// The sink is not called with any lock held, nor by the device's thread.
  std::shared_ptr<CallHandle> call(std::function<Result<Request>()> make, CallSize size,
                                   std::shared_ptr<ReplySink> sink);

  /// The same, done when this returns, on the caller's thread: for a request that only asks for
  /// numbers which are there (get_load, info, models, metrics), and costs less than waking a
  /// thread.
  std::shared_ptr<CallHandle> call_here(const std::function<Result<Request>()>& make, CallSize size,
                                        std::shared_ptr<ReplySink> sink);

  /// Has the device checked again and again, and soon after something failed on it. Once.
  void start_checking(SelfCheckOptions options);
  /// `on_unhealthy` is not called any more.
  void stop_checking();

  /// No new work (`draining`); returns when all admitted calls are answered, or false when some
  /// are not after `timeout`.
  bool drain(std::chrono::milliseconds timeout = std::chrono::hours(24 * 365));

  /// The value that info() answers.
  Value info() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

/// The functions that the service names in info(), sorted: ["encode", "get_load", …].
const std::vector<std::string>& service_functions();
/// The option names that calls with texts take.
const std::vector<std::string>& service_options();

}  // namespace ml_worker
