# From GRUB (Multiboot 1) to 64-bit mode with all vector registers, and the way in and out of system
# calls. Everything runs in ring 0, one address is one byte of memory, and no interrupt ever comes.

.set MULTIBOOT, 0x1BADB002
.set ALIGNED_WITH_MEMORY_MAP, 3
.section .multiboot, "a"
.align 4
.long MULTIBOOT, ALIGNED_WITH_MEMORY_MAP, -(MULTIBOOT + ALIGNED_WITH_MEMORY_MAP)

.text
.code32
.globl start
start:
  cli
  mov $stack_end, %esp
  mov %ebx, multiboot
  # 4 GB in pages of 2 MB: present, writable, large.
  mov $page_directories, %edi
  mov $0x83, %eax
  mov $2048, %ecx
1:mov %eax, (%edi)
  movl $0, 4(%edi)
  add $8, %edi
  add $0x200000, %eax
  loop 1b
  mov $page_directory_pointers, %edi
  mov $page_directories + 3, %eax
  mov $4, %ecx
2:mov %eax, (%edi)
  add $8, %edi
  add $0x1000, %eax
  loop 2b
  movl $page_directory_pointers + 3, page_map
  mov $page_map, %eax
  mov %eax, %cr3
  mov %cr4, %eax
  or $0x40620, %eax       # OSXSAVE, OSXMMEXCPT, OSFXSR, PAE
  mov %eax, %cr4
  mov $0xC0000080, %ecx   # EFER
  rdmsr
  or $0x101, %eax         # LME, SCE
  wrmsr
  mov %cr0, %eax
  and $~4, %eax           # not EM
  or $0x80000002, %eax    # PG, MP
  mov %eax, %cr0
  lgdt descriptors_of_segments
  ljmp $8, $long_mode

.code64
long_mode:
  mov $16, %eax
  mov %eax, %ds
  mov %eax, %es
  mov %eax, %ss
  mov $stack_end, %rsp
  xor %ecx, %ecx
  mov $0xE7, %eax         # XCR0: x87, SSE, AVX, opmask, both halves of ZMM
  xor %edx, %edx
  xsetbv
  mov $0xC0000081, %ecx   # STAR: the segments that a system call gets are those that it comes from
  xor %eax, %eax
  mov $0x00080008, %edx
  wrmsr
  mov $0xC0000082, %ecx   # LSTAR
  mov $system_call_entry, %eax
  xor %edx, %edx
  wrmsr
  mov $0xC0000084, %ecx   # SFMASK
  xor %eax, %eax
  xor %edx, %edx
  wrmsr
  mov multiboot, %edi
  call load_and_run

# Saved in the order of struct Call; what a C compiler saves itself is not saved here.
system_call_entry:
  mov %rsp, caller_stack
  mov $call_stack_end, %rsp
  push %rcx
  push %r11
  push %r9
  push %r8
  push %r10
  push %rdx
  push %rsi
  push %rdi
  push %rax
  mov %rsp, %rdi
  call system_call
  pop %rax
  pop %rdi
  pop %rsi
  pop %rdx
  pop %r10
  pop %r8
  pop %r9
  popfq
  pop %rcx
  mov caller_stack, %rsp
  jmp *%rcx

# enter(address, stack)
.globl enter
enter:
  mov %rsi, %rsp
  xor %edx, %edx
  xor %ebp, %ebp
  jmp *%rdi

.data
.align 8
segments: .quad 0, 0x00AF9A000000FFFF, 0x00CF92000000FFFF
descriptors_of_segments:
  .word 23
  .long segments
multiboot: .long 0
caller_stack: .quad 0

.bss
.align 4096
page_map: .skip 4096
page_directory_pointers: .skip 4096
page_directories: .skip 16384
.skip 65536
stack_end:
.skip 65536
call_stack_end:
