/* A ptrace() of a host with AMX, to be preloaded where there is none: a simulation.
 *
 * The XSAVE area is 11,008 bytes there. Reading gives up to as many; what this host has
 * not is zero. Setting takes the whole area or nothing, as xstateregs_set() does.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>

#define PTRACE_GETREGSET 0x4204
#define PTRACE_SETREGSET 0x4205
#define NT_X86_XSTATE 0x202
#define AMX_SIZE 11008

typedef long ptrace_call(long request, pid_t pid, void *address, void *data);

long ptrace(long request, pid_t pid, void *address, void *data)
{
	static ptrace_call *next;
	struct iovec *set = data;
	size_t length, asked;
	long result;

	if (!next)
		next = (ptrace_call *)dlsym(RTLD_NEXT, "ptrace");
	if (address != (void *)NT_X86_XSTATE ||
	    (request != PTRACE_GETREGSET && request != PTRACE_SETREGSET))
		return next(request, pid, address, data);
	asked = set->iov_len < AMX_SIZE ? set->iov_len : AMX_SIZE;
	if (request == PTRACE_SETREGSET && asked != AMX_SIZE) {
		errno = EFAULT;
		return -1;
	}
	result = next(request, pid, address, data);
	if (result == 0 && request == PTRACE_GETREGSET) {
		length = set->iov_len;
		if (length < asked)
			memset((char *)set->iov_base + length, 0, asked - length);
		set->iov_len = asked;
	}
	return result;
}
