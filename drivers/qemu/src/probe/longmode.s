# The KVM probe: a boot sector that enters 64-bit long mode, works there for a
# while, says so on the first serial port and ends the emulator.
#
# A hypervisor that only emulates a few instructions of 64-bit kernel code passes
# every smaller test (real-mode code that prints) and still takes hours over this
# loop, as it does over a real kernel. Genuine hardware takes tens of milliseconds.
#
# Rebuild `longmode.bin` beside this file:
#   as --64 -o longmode.o longmode.s
#   ld -m elf_x86_64 -Ttext 0x7c00 --oformat binary -e start -o longmode.bin longmode.o

        .set    PML4, 0x1000            # page tables, in low memory
        .set    PDPT, 0x2000
        .set    PD,   0x3000
        .set    AREA, 0x200000          # 64 KiB that the loop reads and writes
        .set    ROUNDS, 30000000
        .set    COM1, 0x3f8
        .set    DEBUG_EXIT, 0x501       # -device isa-debug-exit

        .code16
        .globl  start
start:  cli
        xorw    %ax, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movw    $0x7c00, %sp
        inb     $0x92, %al              # A20
        orb     $2, %al
        andb    $0xfe, %al
        outb    %al, $0x92

        cld
        movw    $PML4, %di              # clear three tables
        movw    $0x1800, %cx
        xorw    %ax, %ax
        rep     stosw
        movw    $PDPT + 3, PML4         # present, writable
        movw    $PD + 3, PDPT
        movw    $0x83, PD               # 0..2 MiB, one large page
        movw    $0x83, PD + 8           # 2..4 MiB
        movb    $0x20, PD + 10

        movl    $PML4, %eax
        movl    %eax, %cr3
        movl    $0x20, %eax             # CR4.PAE
        movl    %eax, %cr4
        movl    $0xc0000080, %ecx       # EFER.LME
        rdmsr
        orl     $0x100, %eax
        wrmsr
        lgdt    gdtr
        movl    %cr0, %eax
        orl     $0x80000001, %eax       # PG, PE
        movl    %eax, %cr0
        ljmp    $8, $long

        .code64
long:   movl    $16, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        movl    $ROUNDS, %ecx
        xorl    %eax, %eax
        movl    $AREA, %ebx
work:   movl    %ecx, %edx
        andl    $0xfff8, %edx
        addq    (%rbx,%rdx), %rax
        movq    %rax, (%rbx,%rdx)
        decl    %ecx
        jnz     work

        movl    $said, %esi
        movw    $COM1, %dx
say:    lodsb
        testb   %al, %al
        jz      done
        outb    %al, %dx
        jmp     say
done:   movw    $DEBUG_EXIT, %dx
        movb    $0x10, %al              # the emulator's status: 0x10 * 2 + 1
        outb    %al, %dx
halt:   hlt
        jmp     halt

said:   .asciz  "fleet: 64-bit code runs\n"

        .balign 8
gdt:    .quad   0
        .quad   0x00af9a000000ffff      # 64-bit code
        .quad   0x00cf92000000ffff      # data
gdtr:   .word   gdtr - gdt - 1
        .long   gdt

        .org    510
        .word   0xaa55
