#include "tokenizer/unicode_normalizer.h"

#include <unicode/normalizer2.h>
#include <unicode/uniset.h>
#include <unicode/unistr.h>

#include <algorithm>
#include <iterator>
#include <stdexcept>

#include "tokenizer/unicode.h"

namespace ml_worker {
namespace {

const icu::Normalizer2& required(const icu::Normalizer2* form) {
  if (form == nullptr) throw std::runtime_error("ICU has no normalisation data");
  return *form;
}

/// The forms, held to Unicode 9.0.
struct Forms {
  UErrorCode status = U_ZERO_ERROR;
  icu::UnicodeSet unicode_9{icu::UnicodeString("[:age=9.0:]"), status};
  icu::FilteredNormalizer2 nfc{required(icu::Normalizer2::getNFCInstance(status)), unicode_9};
  icu::FilteredNormalizer2 nfd{required(icu::Normalizer2::getNFDInstance(status)), unicode_9};
  icu::FilteredNormalizer2 nfkc{required(icu::Normalizer2::getNFKCInstance(status)), unicode_9};
  icu::FilteredNormalizer2 nfkd{required(icu::Normalizer2::getNFKDInstance(status)), unicode_9};
};

const icu::Normalizer2& normalizer_of(NormalizationForm form) {
  static const Forms forms;
  switch (form) {
    case NormalizationForm::nfd:
      return forms.nfd;
    case NormalizationForm::nfkc:
      return forms.nfkc;
    case NormalizationForm::nfkd:
      return forms.nfkd;
    case NormalizationForm::nfc:
      break;
  }
  return forms.nfc;
}

void append(const icu::UnicodeString& text, std::u32string& out) {
  for (std::int32_t i = 0; i < text.length();) {
    const UChar32 c = text.char32At(i);
    out.push_back(static_cast<char32_t>(c));
    i += U16_LENGTH(c);
  }
}

}  // namespace

UnicodeNormalizer::UnicodeNormalizer(NormalizationForm form) : form_(form) { normalizer_of(form_); }

void UnicodeNormalizer::normalize(std::u32string_view text, std::u32string& out) const {
  if (std::all_of(text.begin(), text.end(), [](char32_t c) { return c < 0x80; })) {
    out += text;
    return;
  }
  const auto source = icu::UnicodeString::fromUTF32(reinterpret_cast<const UChar32*>(text.data()),
                                                    static_cast<std::int32_t>(text.size()));
  UErrorCode status = U_ZERO_ERROR;
  const icu::UnicodeString normal = normalizer_of(form_).normalize(source, status);
  append(U_FAILURE(status) != 0 ? source : normal, out);
}

std::size_t UnicodeNormalizer::segment_length(std::u32string_view text) const {
  const icu::Normalizer2& normalizer = normalizer_of(form_);
  const auto begins = [&](char32_t c) {
    return normalizer.hasBoundaryBefore(static_cast<UChar32>(c)) != 0;
  };
  const auto end = std::find_if(std::next(text.begin()), text.end(), begins);
  return static_cast<std::size_t>(end - text.begin());
}

bool UnicodeNormalizer::is_boundary(char32_t before, char32_t after) const {
  return after == ' ' && !unicode::is_white_space(before);
}

}  // namespace ml_worker
