#include "model/kernels.h"

#include <stdexcept>

namespace ml_worker {

at::ScalarType scalar_type(Precision precision) {
  switch (precision) {
    case Precision::bfloat16:
      return at::kBFloat16;
    case Precision::float16:
      return at::kHalf;
    case Precision::float32:
    case Precision::int8:
      return at::kFloat;
  }
  throw std::logic_error("unknown precision");
}

}  // namespace ml_worker
