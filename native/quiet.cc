// Loads TensorFlow's library with nothing of what it says arriving on stderr: a few notices come
// while it is being loaded, before it reads TF_CPP_MIN_LOG_LEVEL. TENSORFLOW is its path.
#include <dlfcn.h>
#include <fcntl.h>
#include <node_api.h>
#include <unistd.h>

NAPI_MODULE_INIT() {
  const int saved = dup(STDERR_FILENO);
  const int nowhere = open("/dev/null", O_WRONLY);
  if (saved >= 0 && nowhere >= 0) dup2(nowhere, STDERR_FILENO);
  const void *library = dlopen(TENSORFLOW, RTLD_NOW | RTLD_LOCAL);
  const char *reason = library == nullptr ? dlerror() : nullptr;
  if (saved >= 0) dup2(saved, STDERR_FILENO);
  if (saved >= 0) close(saved);
  if (nowhere >= 0) close(nowhere);
  if (library == nullptr) napi_throw_error(env, nullptr, reason);
  return exports;
}
