# The smallest guest that can be asked to shut down: a boot sector that says it is
# there and switches the machine off when the ACPI power button is pressed.
#
# QEMU's firmware puts the power management registers at 0x600 (ACPI 6.5, section
# 4.8.3: PM1 status, enable at +2, control at +4).
#
# Rebuild `button.bin` beside this file:
#   as --32 -o button.o button.s
#   ld -m elf_i386 -Ttext 0x7c00 --oformat binary -e start -o button.bin button.o

        .set    COM1, 0x3f8
        .set    PM1_STATUS, 0x600
        .set    PM1_ENABLE, 0x602
        .set    PM1_CONTROL, 0x604
        .set    BUTTON, 0x100
        .set    SLEEP_S5, 0x2000        # SLP_EN; QEMU's type for S5 is 0

        .code16
        .globl  start
start:  xorw    %ax, %ax
        movw    %ax, %ds
        movw    $PM1_ENABLE, %dx
        movw    $BUTTON, %ax
        outw    %ax, %dx

        movw    $said, %si
        movw    $COM1, %dx
        cld
say:    lodsb
        testb   %al, %al
        jz      wait
        outb    %al, %dx
        jmp     say

wait:   sti
        hlt                             # until the firmware's timer, 18 times a second
        movw    $PM1_STATUS, %dx
        inw     %dx, %ax
        testw   $BUTTON, %ax
        jz      wait
        movw    $PM1_CONTROL, %dx
        movw    $SLEEP_S5, %ax
        outw    %ax, %dx
        jmp     wait

said:   .asciz  "fleet: the guest is up\r\n"

        .org    510
        .word   0xaa55
