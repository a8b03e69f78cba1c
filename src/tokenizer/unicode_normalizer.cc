#include "tokenizer/unicode_normalizer.h"

#include <unicode/normalizer2.h>
#include <unicode/uniset.h>
#include <unicode/unistr.h>

#include <algorithm>
#include <array>
#include <memory>
#include <stdexcept>

#include "tokenizer/unicode.h"

namespace ml_worker {
namespace {

const icu::Normalizer2* current_form(NormalizationForm form, UErrorCode& status) {
  switch (form) {
    case NormalizationForm::nfc:
      return icu::Normalizer2::getNFCInstance(status);
    case NormalizationForm::nfd:
      return icu::Normalizer2::getNFDInstance(status);
    case NormalizationForm::nfkc:
      return icu::Normalizer2::getNFKCInstance(status);
    case NormalizationForm::nfkd:
      return icu::Normalizer2::getNFKDInstance(status);
  }
  return nullptr;
}

/// A form held to Unicode 9.0. Lives as long as the program: many threads use it.
std::unique_ptr<const icu::Normalizer2> make_form(NormalizationForm form) {
  static UErrorCode set_status = U_ZERO_ERROR;
  static const icu::UnicodeSet unicode_9(icu::UnicodeString("[:age=9.0:]"), set_status);
  UErrorCode status = set_status;
  const icu::Normalizer2* current = current_form(form, status);
  if (U_FAILURE(status) != 0) throw std::runtime_error("ICU has no normalisation data");
  return std::make_unique<icu::FilteredNormalizer2>(*current, unicode_9);
}

const icu::Normalizer2& normalizer_of(NormalizationForm form) {
  static const std::array<std::unique_ptr<const icu::Normalizer2>, 4> forms = {
      make_form(NormalizationForm::nfc), make_form(NormalizationForm::nfd),
      make_form(NormalizationForm::nfkc), make_form(NormalizationForm::nfkd)};
  return *forms.at(static_cast<std::size_t>(form));
}

void append(const icu::UnicodeString& text, std::u32string& out) {
  for (std::int32_t i = 0; i < text.length();) {
    const UChar32 c = text.char32At(i);
    out.push_back(static_cast<char32_t>(c));
    i += U16_LENGTH(c);
  }
}

}  // namespace

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

bool UnicodeNormalizer::is_boundary(char32_t before, char32_t after) const {
  return after == ' ' && !unicode::is_white_space(before);
}

}  // namespace ml_worker
