// The worker's tokenizer and model without the worker: texts in, ids or vectors out.
//
//   parity_tool ids MODEL [LIMIT [left|right]] < TEXTS > IDS
//   parity_tool pieces MODEL < TEXTS > PIECES
//   parity_tool pairs MODEL [LIMIT [left|right]] < PAIRS > PAIRS_OF_IDS
//   parity_tool vectors MODEL [THREADS [DTYPE [BATCH_TOKENS [DEVICE]]]] < TEXTS > FLOATS
//   parity_tool describe MODEL
//   parity_tool find NAME ROOT…
//
// TEXTS: a JSON string a line; for vectors also {"ids": […], "second_start": N, "unpooled": N}.
// PIECES: an array of [id, begin, end] in bytes, of special tokens [id, name]. PAIRS: an array of
// two. IDS: a JSON array a line; of a pair an array of ids and types. FLOATS: raw little-endian
// float32, the vectors as sentence-transformers gives them (normalised if the model says so). What
// was measured goes to standard error.
#include <chrono>
#include <cmath>
#include <iostream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <vector>

#include "ml_worker/model.h"
#include "ml_worker/startup_error.h"
#include "ml_worker/tokenizer.h"

namespace ml_worker {
namespace {

using Clock = std::chrono::steady_clock;
using Arguments = std::vector<std::string>;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::vector<std::string> read_texts() {
  std::vector<std::string> texts;
  for (std::string line; std::getline(std::cin, line);) {
    texts.push_back(nlohmann::json::parse(line).get<std::string>());
  }
  return texts;
}

int print_ids(const Arguments& arguments) {
  const auto tokenizer = load_tokenizer(arguments.at(1));
  const std::size_t limit = arguments.size() > 2 ? std::stoul(arguments[2]) : SIZE_MAX;
  const bool left = arguments.size() > 3 && arguments[3] == "left";
  const auto texts = read_texts();
  const auto start = Clock::now();
  std::vector<std::vector<std::int32_t>> ids;
  for (const auto& text : texts) {
    ids.push_back(
        tokenizer->encode(text, limit, left ? TruncationSide::left : TruncationSide::right).ids);
  }
  std::cerr << "{\"texts\": " << texts.size() << ", \"seconds\": " << seconds_since(start) << "}\n";
  for (const auto& text_ids : ids) std::cout << nlohmann::json(text_ids).dump() << '\n';
  return 0;
}

int print_pieces(const Arguments& arguments) {
  const auto tokenizer = load_tokenizer(arguments.at(1));
  for (const auto& text : read_texts()) {
    auto line = nlohmann::json::array();
    for (const Piece& piece : tokenizer->pieces(text)) {
      line.push_back(piece.special ? nlohmann::json({piece.id, *piece.special})
                                   : nlohmann::json({piece.id, piece.begin, piece.end}));
    }
    std::cout << line.dump() << '\n';
  }
  return 0;
}

/// Token types as a model is given them.
std::vector<int> types_of(const Tokens& tokens) {
  std::vector<int> types(tokens.ids.size(), 0);
  for (std::size_t i = tokens.second_start; tokens.second_start > 0 && i < types.size(); ++i) {
    types[i] = 1;
  }
  return types;
}

int print_pairs(const Arguments& arguments) {
  const auto tokenizer = load_tokenizer(arguments.at(1));
  const std::size_t limit = arguments.size() > 2 ? std::stoul(arguments[2]) : SIZE_MAX;
  const bool left = arguments.size() > 3 && arguments[3] == "left";
  for (std::string line; std::getline(std::cin, line);) {
    const auto pair = nlohmann::json::parse(line).get<std::vector<std::string>>();
    const Tokens tokens = tokenizer->encode_pair(
        pair.at(0), pair.at(1), limit, left ? TruncationSide::left : TruncationSide::right);
    std::cout << nlohmann::json({tokens.ids, types_of(tokens)}).dump() << '\n';
  }
  return 0;
}

void normalize(std::span<float> vector) {
  const double square =
      std::inner_product(vector.begin(), vector.end(), vector.begin(), 0.0, std::plus<>(),
                         [](float a, float b) { return double{a} * double{b}; });
  const auto norm = static_cast<float>(std::max(std::sqrt(square), 1e-12));
  for (float& value : vector) value /= norm;
}

struct Input {
  std::vector<std::int32_t> ids;
  std::size_t second_start = 0;
  std::size_t unpooled = 0;

  EncoderInput view() const {
    EncoderInput input(ids);
    input.second_start = second_start;
    input.unpooled = unpooled;
    return input;
  }
};

std::vector<Input> read_inputs(const Encoder& encoder) {
  const auto& description = encoder.description();
  std::vector<Input> inputs;
  for (std::string line; std::getline(std::cin, line);) {
    const auto json = nlohmann::json::parse(line);
    Input& input = inputs.emplace_back();
    if (json.is_object()) {
      input = {json.at("ids"), json.value("second_start", std::size_t{0}),
               json.value("unpooled", std::size_t{0})};
    } else {
      input.ids =
          encoder.tokenizer()
              .encode(json.get<std::string>(), description.max_tokens, description.truncation_side)
              .ids;
    }
  }
  return inputs;
}

/// Vectors of as many of the first inputs as fit into one batch; returns how many.
std::size_t run_batch(Encoder& encoder, std::span<const Input> inputs, std::size_t batch_tokens,
                      std::span<float> vectors) {
  std::vector<EncoderInput> batch;
  std::size_t tokens = 0;
  for (const auto& input : inputs) {
    if (!batch.empty() && tokens + input.ids.size() > batch_tokens) break;
    tokens += input.ids.size();
    batch.push_back(input.view());
  }
  encoder.forward(batch, EncoderOutput::vectors,
                  vectors.first(batch.size() * encoder.description().dimensions));
  return batch.size();
}

std::vector<float> embed(Encoder& encoder, std::span<const Input> inputs,
                         std::size_t batch_tokens) {
  const auto& description = encoder.description();
  std::vector<float> vectors(inputs.size() * description.dimensions);
  for (std::size_t at = 0; at < inputs.size();) {
    at += run_batch(encoder, inputs.subspan(at), batch_tokens,
                    std::span(vectors).subspan(at * description.dimensions));
  }
  for (std::size_t i = 0; i < inputs.size() && description.normalizes; ++i) {
    normalize(std::span(vectors).subspan(i * description.dimensions, description.dimensions));
  }
  return vectors;
}

Dtype dtype_of(const std::string& name) {
  if (name == "float32") return Dtype::float32;
  if (name == "bfloat16") return Dtype::bfloat16;
  if (name == "float16") return Dtype::float16;
  if (name == "int8") return Dtype::int8;
  throw std::invalid_argument("unknown dtype " + name);
}

int print_vectors(const Arguments& arguments) {
  ModelOptions options;
  if (arguments.size() > 2) options.compute_threads = std::stoi(arguments[2]);
  if (arguments.size() > 3) options.dtype = dtype_of(arguments[3]);
  const std::size_t batch_tokens = arguments.size() > 4 ? std::stoul(arguments[4]) : 2048;
  if (arguments.size() > 5) options.device = arguments[5];
  const auto loading = Clock::now();
  const auto encoder = load_model(arguments.at(1), options);
  const double load_seconds = seconds_since(loading);
  const auto start = Clock::now();
  const auto inputs = read_inputs(*encoder);
  const auto vectors = embed(*encoder, inputs, batch_tokens);
  std::cerr << nlohmann::json({{"texts", inputs.size()},
                               {"load_seconds", load_seconds},
                               {"numerics", encoder->description().numerics},
                               {"seconds", seconds_since(start)}})
                   .dump()
            << '\n';
  std::cout.write(reinterpret_cast<const char*>(vectors.data()),
                  static_cast<std::streamsize>(vectors.size() * sizeof(float)));
  return 0;
}

int print_description(const Arguments& arguments) {
  const auto encoder = load_model(arguments.at(1), {});
  const auto& description = encoder->description();
  std::cout << nlohmann::json({{"name", description.name},
                               {"dimensions", description.dimensions},
                               {"max_tokens", description.max_tokens},
                               {"normalizes", description.normalizes},
                               {"model_id", description.model_id},
                               {"numerics", description.numerics},
                               {"weight_bytes", description.weight_bytes}})
                   .dump()
            << '\n';
  return 0;
}

int print_found(const Arguments& arguments) {
  const std::vector<std::filesystem::path> roots(arguments.begin() + 2, arguments.end());
  std::cout << find_model(roots, arguments.at(1)).string() << '\n';
  return 0;
}

int run(const Arguments& arguments) {
  if (arguments.size() >= 2 && arguments[0] == "ids") return print_ids(arguments);
  if (arguments.size() >= 2 && arguments[0] == "pieces") return print_pieces(arguments);
  if (arguments.size() >= 2 && arguments[0] == "pairs") return print_pairs(arguments);
  if (arguments.size() >= 2 && arguments[0] == "vectors") return print_vectors(arguments);
  if (arguments.size() >= 2 && arguments[0] == "describe") return print_description(arguments);
  if (arguments.size() >= 2 && arguments[0] == "find") return print_found(arguments);
  std::cerr << "usage: parity_tool ids|pieces|pairs|vectors|describe|find MODEL …\n";
  return static_cast<int>(ExitCode::usage);
}

}  // namespace
}  // namespace ml_worker

int main(int argc, char** argv) {
  try {
    return ml_worker::run({argv + 1, argv + argc});
  } catch (const ml_worker::StartupError& error) {
    std::cerr << error.what() << '\n';
    return static_cast<int>(error.code());
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
