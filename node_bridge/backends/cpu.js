/** Plain JavaScript: slow, needs nothing, runs everywhere. */
import { load } from '../tfjs.js';

/** The package registers itself when it is loaded. */
export async function register() {
  load('backend-cpu');
}
