// Questions about code points as Hugging Face `tokenizers` answers them.
//
// Its categories (control, punctuation, Mn) come from tables of Unicode 8.0, its white space, case
// mapping, letters and numbers from a current one; the parity test holds every code point against
// it.
#pragma once

#include <string>
#include <string_view>

namespace ml_worker::unicode {

/// Code points of `utf8`; a byte that is not UTF-8 becomes U+FFFD.
std::u32string decode(std::string_view utf8);
/// UTF-8 of code points.
std::string encode(std::u32string_view text);

bool is_white_space(char32_t c);      ///< property White_Space
bool is_control(char32_t c);          ///< Cc, Cf or Co; not tab and line ends
bool is_punctuation(char32_t c);      ///< category P*, or ASCII and neither letter, digit nor blank
bool is_nonspacing_mark(char32_t c);  ///< category Mn
bool is_word(char32_t c);             ///< \w of a Unicode regular expression
bool is_letter(char32_t c);           ///< category L* in Unicode 16.0
bool is_number(char32_t c);           ///< category N* in Unicode 16.0
/// Blocks of CJK ideographs that BERT separates.
bool is_cjk_ideograph(char32_t c);

/// Appends the lower case of `c` (without context: no final sigma).
void append_lower(char32_t c, std::u32string& out);

/// Full canonical decomposition (NFD) of one code point, not reordered.
void decompose(char32_t c, std::u32string& out);
int combining_class(char32_t c);

}  // namespace ml_worker::unicode
