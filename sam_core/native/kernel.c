/* placeholder until the kernel lands */
int sam_kernel_abi(void) { return 0; }
