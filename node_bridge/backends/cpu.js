/** Plain JavaScript: slow, needs nothing, runs everywhere. Registers itself on import. */
import '@tensorflow/tfjs-backend-cpu';

export async function register() {}
