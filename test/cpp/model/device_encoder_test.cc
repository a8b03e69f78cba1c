#include "model/device_encoder.h"

#include <catch2/catch.hpp>

#include "model/device_fault.h"
#include "support/fake_encoder.h"

using namespace ml_worker;
using namespace ml_worker::test;

namespace {

using Ids = std::vector<std::int32_t>;

/// A device with room for so many tokens at once, which may be lost.
class SmallEncoder : public FakeEncoder {
 public:
  explicit SmallEncoder(std::size_t tokens) : room(tokens) {}

  void forward(std::span<const EncoderInput> inputs, EncoderOutput output,
               std::span<float> rows) override {
    std::size_t tokens = 0;
    for (const auto& input : inputs) tokens += input.ids.size();
    batches.push_back(tokens);
    if (is_lost) throw DeviceLost("device lost: illegal address");
    if (tokens > room) throw OutOfDeviceMemory("CUDA out of memory");
    FakeEncoder::forward(inputs, output, rows);
  }

  std::size_t room;
  bool is_lost = false;
  std::vector<std::size_t> batches;  ///< tokens of each that was tried
};

struct Fixture {
  explicit Fixture(std::size_t replicas, std::size_t room = 1000000) {
    std::vector<std::unique_ptr<Encoder>> made;
    for (std::size_t i = 0; i < replicas; ++i) {
      made.push_back(std::make_unique<SmallEncoder>(room));
      small.push_back(dynamic_cast<SmallEncoder*>(made.back().get()));
    }
    encoder = make_device_encoder(std::move(made), [] {
      DeviceStatus status;
      status.device = "cuda:0";
      return std::vector<DeviceStatus>{status};
    });
  }

  std::vector<float> forward(const std::vector<Ids>& texts, std::size_t replica = 0,
                             EncoderOutput output = EncoderOutput::vectors) {
    const std::vector<EncoderInput> inputs(texts.begin(), texts.end());
    std::size_t rows = inputs.size();
    if (output == EncoderOutput::tokens) {
      rows = 0;
      for (const auto& text : texts) rows += text.size();
    }
    std::vector<float> vectors(rows * encoder->description().dimensions);
    encoder->replica(replica).forward(inputs, output, vectors);
    return vectors;
  }

  std::vector<SmallEncoder*> small;
  std::unique_ptr<Encoder> encoder;
};

std::vector<Ids> texts_of(const std::vector<std::size_t>& lengths) {
  std::vector<Ids> texts;
  std::int32_t next = 1;
  for (const std::size_t length : lengths) {
    texts.emplace_back(length);
    for (auto& id : texts.back()) id = next++ % 90;
  }
  return texts;
}

}  // namespace

TEST_CASE("a part takes what fits, and one text whatever its length") {
  const auto texts = texts_of({3, 4, 5, 6});
  const std::vector<EncoderInput> inputs(texts.begin(), texts.end());
  CHECK(leading_texts(inputs, 100) == 4);
  CHECK(leading_texts(inputs, 18) == 4);
  CHECK(leading_texts(inputs, 17) == 3);
  CHECK(leading_texts(inputs, 7) == 2);
  CHECK(leading_texts(inputs, 6) == 1);
  CHECK(leading_texts(inputs, 1) == 1);
}

TEST_CASE("a batch that does not fit is computed in parts, and the lower budget stays") {
  Fixture f(2, 10);
  const auto texts = texts_of({5, 5, 5, 5, 5, 5, 5, 5});
  const auto expected = Fixture(1).forward(texts);
  CHECK(f.encoder->devices().front().batch_tokens == 0);
  CHECK(f.forward(texts) == expected);
  CHECK(f.small[0]->batches == std::vector<std::size_t>{40, 20, 10, 10, 10, 10});
  CHECK(f.encoder->devices().front().batch_tokens == 10);
  f.small[0]->batches.clear();
  CHECK(f.forward(texts) == expected);
  CHECK(f.small[0]->batches == std::vector<std::size_t>{10, 10, 10, 10});
  CHECK(f.forward(texts, 1) == expected);
  CHECK(f.small[1]->batches == std::vector<std::size_t>{10, 10, 10, 10});
}

TEST_CASE("rows of tokens come in the same order whether or not in parts") {
  const auto texts = texts_of({2, 7, 1, 4});
  const auto whole = Fixture(1).forward(texts, 0, EncoderOutput::tokens);
  CHECK(Fixture(1, 8).forward(texts, 0, EncoderOutput::tokens) == whole);
}

TEST_CASE("a text that does not fit alone fails, and the next batch works") {
  Fixture f(1, 10);
  CHECK_THROWS_AS(f.forward(texts_of({11})), OutOfDeviceMemory);
  CHECK(f.forward(texts_of({4, 4})) == Fixture(1).forward(texts_of({4, 4})));
}

TEST_CASE("when a device is lost every replica says so, and none is asked again") {
  Fixture f(2);
  f.small[1]->is_lost = true;
  CHECK_THROWS_WITH(f.forward(texts_of({3}), 1), "device lost: illegal address");
  f.small[1]->is_lost = false;
  CHECK_THROWS_AS(f.forward(texts_of({3}), 0), DeviceLost);
  CHECK_THROWS_AS(f.forward(texts_of({3}), 1), DeviceLost);
  CHECK(f.small[0]->batches.empty());
  CHECK(f.small[1]->batches.size() == 1);
}

TEST_CASE("any other error fails the batch alone") {
  Fixture f(1);
  f.small[0]->fail_always = true;
  CHECK_THROWS_AS(f.forward(texts_of({3})), EncoderError);
  f.small[0]->fail_never();
  CHECK_NOTHROW(f.forward(texts_of({3})));
}

TEST_CASE("the batcher's lanes each have a replica; it is the first that an encoder is itself") {
  Fixture f(3);
  CHECK(f.encoder->replicas() == 3);
  f.forward(texts_of({3}), 2);
  CHECK(f.small[2]->batches.size() == 1);
  CHECK(&f.encoder->description() == &f.small[0]->description());
  CHECK_THROWS_AS(f.encoder->replica(3), std::out_of_range);
}

TEST_CASE("rows of another size are refused") {
  Fixture f(1);
  const Ids ids = {1, 2};
  const std::vector<EncoderInput> inputs{EncoderInput(ids)};
  std::vector<float> rows(f.encoder->description().dimensions + 1);
  CHECK_THROWS_AS(f.encoder->forward(inputs, EncoderOutput::vectors, rows), EncoderError);
}
