import bcrypt from 'bcrypt';
import { nanoid } from 'nanoid';
import { type Collections, isDuplicateKey, type UserRecord } from './collections.ts';
import type { User } from './contract.ts';

export interface NewUser {
  email: string;
  /** 8 characters to 72 bytes: bcrypt would cut what is longer. */
  password: string;
  name: string;
}

/** @returns `email_taken` when there is an account with this e-mail address. */
export async function createUser(
  { users }: Collections,
  { email, password, name }: NewUser,
  { bcryptCost, role = 'buyer' }: { bcryptCost: number; role?: UserRecord['role'] },
): Promise<User | 'email_taken'> {
  const record: UserRecord = {
    _id: nanoid(),
    email: email.toLowerCase(),
    name,
    passwordHash: await bcrypt.hash(password, bcryptCost),
    role,
    createdAt: new Date(),
  };
  try {
    await users.create(record);
  } catch (error) {
    if (isDuplicateKey(error)) return 'email_taken';
    throw error;
  }
  return userOf(record);
}

/** Compared with when the account is unknown, so that both answers take the same time; made once for each cost. */
const nobody = new Map<number, Promise<string>>();

/** @returns null when the account is unknown or the password is wrong, after the same time. */
export async function findUserByPassword(
  { users }: Collections,
  { email, password }: Pick<NewUser, 'email' | 'password'>,
  { bcryptCost }: { bcryptCost: number },
): Promise<User | null> {
  const hashOfNobody = nobody.get(bcryptCost) ?? bcrypt.hash(nanoid(), bcryptCost);
  nobody.set(bcryptCost, hashOfNobody);
  const record = await users.findOne({ email: email.toLowerCase() }).lean<UserRecord>();
  const matches = await bcrypt.compare(password, record?.passwordHash ?? (await hashOfNobody));
  // bcrypt reads no further than 72 bytes: with a tail behind it the right password would still match.
  return record && matches && Buffer.byteLength(password) <= 72 ? userOf(record) : null;
}

export function userOf({ _id, email, name, role }: UserRecord): User {
  return { id: _id, email, name, role };
}
