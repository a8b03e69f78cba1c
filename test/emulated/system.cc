// As much of Linux as a statically linked test of arithmetic needs, for a machine that is emulated:
// it loads the program that GRUB has put beside it, and answers its system calls. What the program
// writes goes to port 0xE9, which Bochs prints; its end is "STATUS n". By the System V ABI for
// x86-64 and the Multiboot specification, version 0.6.96.
#include <array>
#include <cstdint>
#include <span>

namespace {

using Word = std::uint64_t;

struct ProgramHeader {
  std::uint32_t type;
  std::uint32_t flags;
  Word offset;
  Word address;
  Word physical;
  Word file_size;
  Word memory_size;
  Word alignment;
};

/// A system call's registers: rax, rdi, rsi, rdx, …
struct Call {
  Word number;
  std::array<Word, 6> arguments;
};

constexpr Word kProgramCopy = 0x30000000;
constexpr Word kStack = 0x0F000000;
Word heap_end = 0x10000000;
Word next_mapping = 0x14000000;
Word microseconds = 0;

void out(std::uint16_t port, char byte) { asm volatile("outb %0, %1" ::"a"(byte), "Nd"(port)); }

void print(const char* text, Word size) {
  for (Word i = 0; i < size; ++i) out(0xE9, text[i]);
}

template <Word kSize>
void print(const char (&text)[kSize]) {
  print(text, kSize - 1);
}

void print_number(Word number) {
  if (number >= 10) print_number(number / 10);
  out(0xE9, static_cast<char>('0' + number % 10));
}

[[noreturn]] void shut_down() {
  constexpr std::array<char, 8> kBochsShutdown{'S', 'h', 'u', 't', 'd', 'o', 'w', 'n'};
  for (;;) {
    for (const char byte : kBochsShutdown) out(0x8900, byte);
  }
}

void zero(Word to, Word size) {
  asm volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(0) : "memory");
}

void copy(Word to, Word from, Word size) {
  asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size)::"memory");
}

template <typename Type>
Type* at(Word address) {
  return reinterpret_cast<Type*>(address);
}

Word map(Word size) {
  const Word mapped = next_mapping;
  next_mapping += (size + 4095) / 4096 * 4096;
  zero(mapped, size);
  return mapped;
}

Word set_heap_end(Word wanted) {
  if (wanted > heap_end) {
    zero(heap_end, wanted - heap_end);
    heap_end = wanted;
  }
  return heap_end;
}

Word write_vector(const Word* parts, Word count) {
  Word written = 0;
  for (Word i = 0; i < count; ++i, parts += 2) {
    print(at<char>(parts[0]), parts[1]);
    written += parts[1];
  }
  return written;
}

void set_thread_pointer(Word address) {
  asm volatile("wrmsr" ::"c"(0xC0000100), "a"(static_cast<std::uint32_t>(address)),
               "d"(static_cast<std::uint32_t>(address >> 32)));
}

void tell_time(Word* timespec) {
  microseconds += 1000;
  timespec[0] = microseconds / 1000000;
  timespec[1] = microseconds % 1000000 * 1000;
}

[[noreturn]] void end(Word status) {
  print("STATUS ");
  print_number(status);
  print("\n");
  shut_down();
}

Word result_of(Word number, const std::array<Word, 6>& arguments) {
  constexpr Word kNotImplemented = -Word{38};
  constexpr Word kNotATerminal = -Word{25};
  switch (number) {
    case 1:  // write
      print(at<char>(arguments[1]), arguments[2]);
      return arguments[2];
    case 20:  // writev
      return write_vector(at<Word>(arguments[1]), arguments[2]);
    case 5:    // fstat
    case 16:   // ioctl
    case 262:  // newfstatat
      return kNotATerminal;
    case 9:  // mmap, of no file
      return map(arguments[1]);
    case 12:  // brk
      return set_heap_end(arguments[0]);
    case 158:  // arch_prctl(ARCH_SET_FS)
      set_thread_pointer(arguments[1]);
      return 0;
    case 228:  // clock_gettime
      tell_time(at<Word>(arguments[1]));
      return 0;
    case 10:   // mprotect
    case 11:   // munmap
    case 13:   // rt_sigaction
    case 14:   // rt_sigprocmask
    case 131:  // sigaltstack
    case 202:  // futex: there is one thread
    case 273:  // set_robust_list
      return 0;
    case 218:  // set_tid_address
      return 1;
    case 60:   // exit
    case 231:  // exit_group
      end(arguments[0]);
    default:
      return kNotImplemented;
  }
}

bool has_avx512_and_vnni() {
  std::uint32_t eax = 7;
  std::uint32_t ebx = 0;
  std::uint32_t ecx = 0;
  std::uint32_t edx = 0;
  asm volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
  return (ebx >> 16 & 1) != 0 && (ecx >> 11 & 1) != 0;
}

}  // namespace

extern "C" {

[[noreturn]] void enter(Word address, Word stack);

void system_call(Call& call) { call.number = result_of(call.number, call.arguments); }

/// `multiboot`: GRUB's information, whose first module is the program.
[[noreturn]] void load_and_run(std::uint32_t multiboot) {
  if (!has_avx512_and_vnni()) end(255);
  const auto* module = at<std::uint32_t>(at<std::uint32_t>(multiboot)[6]);
  // To where it is in nobody's way: its segments may go where it lies.
  copy(kProgramCopy, module[0], module[1] - module[0]);
  const Word entry = *at<Word>(kProgramCopy + 24);
  const Word headers = *at<Word>(kProgramCopy + 32);
  const Word count = *at<std::uint16_t>(kProgramCopy + 56);
  Word mapped_headers = 0;
  for (const ProgramHeader& each : std::span(at<ProgramHeader>(kProgramCopy + headers), count)) {
    constexpr std::uint32_t kLoad = 1;
    if (each.type != kLoad) continue;
    copy(each.address, kProgramCopy + each.offset, each.file_size);
    zero(each.address + each.file_size, each.memory_size - each.file_size);
    if (each.offset <= headers && headers < each.offset + each.file_size) {
      mapped_headers = each.address + headers - each.offset;
    }
  }
  static char name[] = "test";
  static char reporter[] = "--reporter=compact";
  static std::array<char, 16> random{};
  const auto word = [](auto* pointer) { return reinterpret_cast<Word>(pointer); };
  const std::array stack{Word{2},        word(name),
                         word(reporter), Word{0},
                         Word{0},                                      // arguments, environment
                         Word{3},        mapped_headers,               // AT_PHDR
                         Word{4},        Word{sizeof(ProgramHeader)},  // AT_PHENT
                         Word{5},        count,                        // AT_PHNUM
                         Word{6},        Word{4096},                   // AT_PAGESZ
                         Word{9},        entry,                        // AT_ENTRY
                         Word{25},       word(random.data()),          // AT_RANDOM
                         Word{0},        Word{0}};
  copy(kStack, word(stack.data()), sizeof stack);
  enter(entry, kStack);
}

}  // extern "C"
