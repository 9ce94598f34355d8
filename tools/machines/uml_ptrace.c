/* A ptrace() for User-mode Linux on processors whose register sets it underestimates.
 *
 * Debian's 6.1 sets the floating-point registers of its processes from an area of fixed
 * size. The host's kernel takes the whole XSAVE area or nothing (xstateregs_set() in
 * arch/x86/kernel/fpu/regset.c: EFAULT); with AMX that is 11,008 bytes, and User-mode
 * Linux dies at its first process. scripts/in-uml then preloads this, which answers such
 * a failure by reading the whole set, laying the short one over it and setting that. What
 * lies beyond the short set keeps its value: User-mode Linux never read it either.
 *
 * No large variable on the stack: the caller's is that of a kernel, 16 KiB. A static one
 * is safe, since one thread alone traces.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>

/* linux/ptrace.h and linux/elf.h; their glibc twins declare another ptrace(). */
#define PTRACE_GETREGSET 0x4204
#define PTRACE_SETREGSET 0x4205
#define NT_X86_XSTATE 0x202

/* Three times what AMX needs; a set that fills it is taken for a longer one. */
#define WHOLE_SET_MAX (32 * 1024)

typedef long ptrace_call(long request, pid_t pid, void *address, void *data);

long ptrace(long request, pid_t pid, void *address, void *data)
{
	static ptrace_call *next;
	static char whole[WHOLE_SET_MAX];
	struct iovec *given = data, all = { whole, sizeof(whole) };
	long result;

	if (!next)
		next = (ptrace_call *)dlsym(RTLD_NEXT, "ptrace");
	result = next(request, pid, address, data);
	if (result == 0 || errno != EFAULT || request != PTRACE_SETREGSET ||
	    address != (void *)NT_X86_XSTATE)
		return result;
	if (next(PTRACE_GETREGSET, pid, address, &all) == 0 &&
	    given->iov_len < all.iov_len && all.iov_len < sizeof(whole)) {
		memcpy(whole, given->iov_base, given->iov_len);
		return next(PTRACE_SETREGSET, pid, address, &all);
	}
	errno = EFAULT;
	return result;
}
