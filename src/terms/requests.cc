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
Result<ModelAndOptions> read_model_and_options(Arguments& arguments) {
  auto model = read_model_name(arguments.reader);
  if (!model) return model.error();
  if (arguments.count < 3) return ModelAndOptions{std::move(*model), {}};
  const auto options = read_options(arguments.reader);
  if (!options) return options.error();
  return ModelAndOptions{std::move(*model), *options};
}

Result<Request> parse_encode(Arguments arguments) {
  auto texts = read_texts(arguments.reader, arguments.limits);
  if (!texts) return texts.error();
  auto rest = read_model_and_options(arguments);
  if (!rest) return rest.error();
  return Request(EncodeRequest{std::move(*texts), std::move(rest->model), rest->options});
}

/// predict answers bare vectors: what is asked for besides would be dropped without a word.
std::optional<Error> without_place(const EncodeOptions& options) {
  const char* name = options.usage         ? "usage"
                     : options.timings     ? "timings"
                     : options.fingerprint ? "fingerprint"
                                           : nullptr;
  if (name == nullptr) return std::nullopt;
  return errors::bad_argument(
      name, "expected false, got true: predict answers bare vectors, encode a map with this key");
}

Result<Request> parse_predict(Arguments arguments) {
  auto input = read_predict_input(arguments.reader, arguments.limits);
  if (!input) return input.error();
  auto rest = read_model_and_options(arguments);
  if (!rest) return rest.error();
  if (auto error = without_place(rest->options)) return *error;
  return Request(PredictRequest{std::move(input->texts), input->single, std::move(rest->model),
                                rest->options});
}

Result<Request> parse_tokenize(Arguments arguments) {
  auto texts = read_texts(arguments.reader, arguments.limits);
  if (!texts) return texts.error();
  auto model = read_model_name(arguments.reader);
  if (!model) return model.error();
  return Request(TokenizeRequest{std::move(*texts), std::move(*model)});
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
constexpr std::array<Function, 10> kFunctions = {{
    {"encode", 2, parse_encode},
    {"encode", 3, parse_encode},
    {"get_load", 0, parse_nothing<GetLoadRequest>},
    {"health", 0, parse_nothing<HealthRequest>},
    {"info", 0, parse_nothing<InfoRequest>},
    {"metrics", 0, parse_nothing<MetricsRequest>},
    {"models", 0, parse_nothing<ModelsRequest>},
    {"predict", 2, parse_predict},
    {"predict", 3, parse_predict},
    {"tokenize", 2, parse_tokenize},
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
