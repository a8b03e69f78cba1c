#include <array>
#include <utility>

#include "ml_worker/terms.h"
#include "terms/model_name.h"
#include "terms/options.h"
#include "terms/texts.h"

namespace ml_worker::terms {
namespace {

/// The arguments of one call: `reader` stands at the first of `count`.
struct Arguments {
  Reader& reader;
  std::size_t count;
  const RequestLimits& limits;
};

struct ModelAndOptions {
  std::string model;
  EncodeOptions options;
};

/// What follows the texts: a model and, where there is a third argument, options.
Result<ModelAndOptions> read_any_options(Arguments& arguments) {
  auto model = read_model_name(arguments.reader);
  if (!model) return model.error();
  if (arguments.count < 3) return ModelAndOptions{std::move(*model), {}};
  const auto options = read_options(arguments.reader);
  if (!options) return options.error();
  return ModelAndOptions{std::move(*model), *options};
}

/// As read_any_options(), where the answer are vectors.
Result<ModelAndOptions> read_model_and_options(Arguments& arguments) {
  auto read = read_any_options(arguments);
  if (!read || !read->options.pieces) return read;
  return errors::bad_argument("pieces",
                              "expected false, got true: only tokenize answers with tokens");
}

Result<Request> parse_encode(Arguments arguments) {
  auto texts = read_texts(arguments.reader, arguments.limits);
  if (!texts) return texts.error();
  auto rest = read_model_and_options(arguments);
  if (!rest) return rest.error();
  return Request(EncodeRequest{std::move(*texts), std::move(rest->model), rest->options});
}

/// What is asked for besides bare vectors would be dropped without a word.
std::optional<Error> beside_vectors(const EncodeOptions& options) {
  const char* name = options.usage         ? "usage"
                     : options.timings     ? "timings"
                     : options.fingerprint ? "fingerprint"
                                           : nullptr;
  if (name == nullptr) return std::nullopt;
  return errors::bad_argument(
      name, "expected false, got true: only encode answers a map, which has this key");
}

/// Options that have no effect on what is neither a text's vector …
std::optional<Error> of_whole_vectors(const EncodeOptions& options) {
  const char* name = options.normalize ? "normalize" : options.dimensions ? "dimensions" : nullptr;
  if (name == nullptr) return beside_vectors(options);
  return errors::bad_argument(name,
                              "expected none: this is about vectors of whole texts, got a value");
}

/// … nor a vector at all.
std::optional<Error> of_format(const EncodeOptions& options) {
  if (options.format == VectorFormat::list) return std::nullopt;
  return errors::bad_argument("format", "expected list: there are no vectors in the answer");
}

Result<Request> parse_predict(Arguments arguments) {
  auto input = read_predict_input(arguments.reader, arguments.limits);
  if (!input) return input.error();
  auto rest = read_model_and_options(arguments);
  if (!rest) return rest.error();
  if (auto error = beside_vectors(rest->options)) return *error;
  return Request(PredictRequest{std::move(input->inputs), input->single, std::move(rest->model),
                                rest->options});
}

Result<Request> parse_similarity(Arguments arguments) {
  auto sides = read_similarity_sides(arguments.reader, arguments.limits);
  if (!sides) return sides.error();
  arguments.count -= 1;
  auto rest = read_model_and_options(arguments);
  if (!rest) return rest.error();
  if (auto error = beside_vectors(rest->options)) return *error;
  if (auto error = of_format(rest->options)) return *error;
  return Request(SimilarityRequest{std::move(sides->first), std::move(sides->second),
                                   std::move(rest->model), rest->options});
}

Result<Request> parse_embed_tokens(Arguments arguments) {
  auto texts = read_texts(arguments.reader, arguments.limits);
  if (!texts) return texts.error();
  auto rest = read_model_and_options(arguments);
  if (!rest) return rest.error();
  if (auto error = of_whole_vectors(rest->options)) return *error;
  return Request(EmbedTokensRequest{std::move(*texts), std::move(rest->model), rest->options});
}

/// The name of a model, for load_model and unload_model.
template <typename T>
Result<Request> parse_model(Arguments arguments) {
  auto model = read_model_name(arguments.reader);
  if (!model) return model.error();
  return Request(T{std::move(*model)});
}

/// Pieces are those of the whole text.
std::optional<Error> of_cutting(const EncodeOptions& options) {
  if (!options.pieces || !options.truncation_side) return std::nullopt;
  return errors::bad_argument("truncation_side",
                              "expected none: with pieces nothing is cut, got a value");
}

Result<Request> parse_tokenize(Arguments arguments) {
  auto texts = read_texts(arguments.reader, arguments.limits);
  if (!texts) return texts.error();
  auto rest = read_any_options(arguments);
  if (!rest) return rest.error();
  if (auto error = of_cutting(rest->options)) return *error;
  if (auto error = of_whole_vectors(rest->options)) return *error;
  if (auto error = of_format(rest->options)) return *error;
  return Request(TokenizeRequest{std::move(*texts), std::move(rest->model), rest->options});
}

template <typename T>
Result<Request> parse_nothing(Arguments /*arguments*/) {
  return Request(T{});
}

struct Function {
  std::string_view name;
  std::size_t arity;
  Result<Request> (*parse)(Arguments);
};

/// Everything that `ml_worker` answers for.
constexpr std::array<Function, 17> kFunctions = {{
    {"embed_tokens", 2, parse_embed_tokens},
    {"embed_tokens", 3, parse_embed_tokens},
    {"encode", 2, parse_encode},
    {"encode", 3, parse_encode},
    {"get_load", 0, parse_nothing<GetLoadRequest>},
    {"health", 0, parse_nothing<HealthRequest>},
    {"info", 0, parse_nothing<InfoRequest>},
    {"load_model", 1, parse_model<LoadModelRequest>},
    {"metrics", 0, parse_nothing<MetricsRequest>},
    {"models", 0, parse_nothing<ModelsRequest>},
    {"predict", 2, parse_predict},
    {"predict", 3, parse_predict},
    {"similarity", 3, parse_similarity},
    {"similarity", 4, parse_similarity},
    {"tokenize", 2, parse_tokenize},
    {"tokenize", 3, parse_tokenize},
    {"unload_model", 1, parse_model<UnloadModelRequest>},
}};

Result<Request> parse_list(std::string_view name, Reader reader, const RequestLimits& limits) {
  const auto length = reader.read_list();
  if (!length && !reader.read_nil()) return errors::undef();
  for (const Function& function : kFunctions) {
    if (function.name != name || function.arity != length.value_or(0)) continue;
    auto request = function.parse({reader, function.arity, limits});
    // No function can be applied to an improper list.
    if (request && length && !reader.read_nil()) return errors::undef();
    return request;
  }
  return errors::undef();
}

/// Arguments that are all bytes, `[1, 2]`, travel as a string; here is the list that they are.
Bytes as_list(std::string_view arguments) {
  Bytes list;
  Writer writer(list);
  writer.version();
  writer.list(arguments.size());
  for (const char byte : arguments) writer.integer(static_cast<std::uint8_t>(byte));
  writer.nil();
  return list;
}

}  // namespace

Result<Request> parse_request(std::string_view function, ScannedTerm arguments,
                              const RequestLimits& limits) {
  Reader reader(arguments);
  const auto bytes = reader.read_string();
  if (!bytes || bytes->empty()) return parse_list(function, Reader(arguments), limits);
  const Bytes list = as_list(*bytes);
  ByteView input(list);
  return parse_list(function, Reader(*scan(input)), limits);
}

}  // namespace ml_worker::terms
