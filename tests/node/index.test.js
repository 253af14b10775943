import assert from 'node:assert/strict';
import { test } from 'node:test';

test('the package exports these names and no others', async () => {
  const names = Object.keys(await import('bert-bridge')).sort();
  const expected = [
    'Bundle',
    'CheckFailed',
    'Classifier',
    'Encoder',
    'EnvironmentProblem',
    'QueueFull',
    'TokenClassifier',
    'Tokenizer',
    'UserError',
  ];
  assert.deepEqual(names, expected);
});
